"""The order of placement, one sentence at a time."""

from dataclasses import replace

import pytest

from orchestrator_core import (
    Constraint,
    Estimate,
    Outcome,
    PlacementInput,
    PoolRef,
    Preferences,
    Refusal,
    ReplicaIndex,
    ReplicaKey,
    ReplicaView,
    StaleDecision,
    UnknownReplica,
    When,
    could_serve,
    decide,
)
from orchestrator_core.testing import FixedScorer
from pool_registry_types import HealthState

ANY = Constraint(model_id="m")


def replica(name="r0", *, node="n", pool="p", **given) -> ReplicaView:
    facts = {"engine": "llamacpp", "state": HealthState.READY, "model_id": "m", "slots_total": 2}
    return ReplicaView(key=ReplicaKey(node, pool, name), **{**facts, **given})


def chosen(index, constraint=ANY, **given):
    decision = decide(PlacementInput(constraint=constraint, replicas=index, **given))
    return decision.chosen and decision.chosen.key.replica_id


def test_the_least_loaded_comes_first_then_free_vram_then_the_key():
    views = [
        replica("busy", vram_free_bytes=9),
        replica("b-small", vram_free_bytes=1),
        replica("b", vram_free_bytes=5),
        replica("a", vram_free_bytes=5),
    ]
    index = ReplicaIndex(views, {views[0].key: 1})
    order = []
    while name := chosen(index):
        order.append(name)
        key = ReplicaKey("n", "p", name)
        index.set_active(key, index.active(key) + 1)
    assert order == ["a", "b", "b-small", "busy", "a", "b", "b-small"]


def test_load_is_a_share_of_the_slots():
    wide, narrow = replica("wide", slots_total=8), replica("narrow", slots_total=2)
    assert chosen(ReplicaIndex([wide, narrow], {wide.key: 3, narrow.key: 1})) == "wide"


def test_a_full_cluster_is_busy_and_an_unfit_one_infeasible():
    view = replica(slots_total=1)
    full = ReplicaIndex([view], {view.key: 1})
    assert decide(PlacementInput(constraint=ANY, replicas=full)).outcome is Outcome.BUSY
    other = Constraint(model_id="other")
    assert decide(PlacementInput(constraint=other, replicas=full)).outcome is Outcome.INFEASIBLE


@pytest.mark.parametrize(
    ("facts", "demand", "refusal"),
    [
        ({"model_id": "other"}, {}, Refusal.WRONG_MODEL),
        ({}, {"model_digest": "sha256:0"}, Refusal.WRONG_DIGEST),
        ({}, {"engine": "vllm"}, Refusal.WRONG_ENGINE),
        ({"engine_version": "1"}, {"engine_version": "2"}, Refusal.WRONG_ENGINE),
        ({"workloads": frozenset()}, {}, Refusal.NO_WORKLOAD),
        ({}, {"node_id": "elsewhere"}, Refusal.NOT_PINNED),
        ({}, {"only_pools": frozenset({PoolRef("n", "q")})}, Refusal.NOT_PINNED),
        ({}, {"avoid_pools": frozenset({PoolRef("n", "p")})}, Refusal.AVOIDED),
        ({"device_mask": "0"}, {"device_mask": "1"}, Refusal.DEVICE_MASK),
        ({}, {"only_labels": (("zone", "x"),)}, Refusal.LABELS),
        ({"slots_total": 2, "prompt_cache": False}, {"strict": True}, Refusal.NOT_STRICT),
        ({"slots_total": 1}, {"strict": True}, Refusal.NOT_STRICT),
        ({"ctx_max": 10}, {"ctx_tokens": 11}, Refusal.CTX_TOO_SMALL),
        ({"online": False}, {}, Refusal.OFFLINE),
        ({"state": HealthState.LOADING}, {}, Refusal.NOT_READY),
        ({"draining": True}, {}, Refusal.DRAINING),
        ({"suspect": True}, {}, Refusal.SUSPECT),
        ({"breaker_closed": False}, {}, Refusal.BREAKER_OPEN),
        ({"slots_total": 0}, {}, Refusal.NO_SLOT),
    ],
)
def test_each_refusal_has_its_own_name(facts, demand, refusal):
    index = ReplicaIndex([replica(**facts)])
    decision = decide(PlacementInput(constraint=replace(ANY, **demand), replicas=index))
    assert decision.chosen is None
    assert [candidate.refused for candidate in decision.candidates()] == [refusal]


def test_a_replica_that_was_tried_is_passed_over_by_that_name():
    only = replica()
    given = PlacementInput(
        constraint=ANY, replicas=ReplicaIndex([only]), tried=frozenset({only.key})
    )
    decision = decide(given)
    assert decision.chosen is None
    assert [each.refused for each in decision.candidates()] == [Refusal.ALREADY_TRIED]


def test_a_scorer_goes_before_the_load():
    slow, fast = replica("slow"), replica("fast")
    index = ReplicaIndex([slow, fast], {fast.key: 1})
    scorer = FixedScorer({slow.key: Estimate(9.0, 0.0, 0.0), fast.key: Estimate(0.5, 0.2, 0.3)})
    assert chosen(index, scorer=scorer) == "fast"
    index.set_active(fast.key, 2)
    assert chosen(index, scorer=scorer) == "slow", "no task waits for a better place"


def test_a_scored_decision_tells_what_it_has_estimated():
    slow, fast = replica("slow"), replica("fast")
    index = ReplicaIndex([slow, fast])
    scorer = FixedScorer({slow.key: Estimate(9.0, 0.0, 0.0), fast.key: Estimate(0.5, 0.2, 0.3)})
    decision = decide(PlacementInput(constraint=ANY, replicas=index, scorer=scorer))
    assert [(c.key.replica_id, c.refused, c.estimate) for c in decision.candidates()] == [
        ("fast", None, Estimate(0.5, 0.2, 0.3)),
        ("slow", Refusal.NOT_FIRST, Estimate(9.0, 0.0, 0.0)),
    ]


def test_among_those_that_match_a_wish_the_nominated_are_scored_first():
    many = [replica(f"r{number:04}", labels={"zone": "x"}) for number in range(100)]
    other = replica("other", labels={"zone": "y"})
    last = many[-1].key
    scorer = FixedScorer(
        {last: Estimate(0.1, 0.0, 0.0), other.key: Estimate(0.0, 0.0, 0.0)},
        nominated=(other.key, last),
    )
    index = ReplicaIndex([*many, other])
    wish = Preferences(labels={"zone": "x"})
    assert chosen(index, preferences=wish, scorer=scorer) == "r0099"


def test_of_very_many_replicas_the_nominated_and_the_least_loaded_are_scored():
    many = [replica(f"r{number:04}") for number in range(1_000)]
    last = many[-1].key
    scorer = FixedScorer({last: Estimate(0.1, 0.0, 0.0)}, nominated=(last,))
    decision = decide(PlacementInput(constraint=ANY, replicas=ReplicaIndex(many), scorer=scorer))
    assert decision.chosen is many[-1]
    assert scorer.asked == 17
    assert {candidate.key for candidate in decision.candidates(2)} >= {last}


def test_the_warm_replica_is_preferred_and_never_waited_for():
    idle, warm = replica("idle"), replica("warm")
    wish = Preferences(affinity=warm.key)
    index = ReplicaIndex([idle, warm], {warm.key: 1})
    assert chosen(index, preferences=wish) == "warm"
    index.set_active(warm.key, 2)
    assert chosen(index, preferences=wish) == "idle"


def test_preferred_pools_are_tried_in_the_order_named():
    first, second, rest = replica(pool="q"), replica(pool="r"), replica(pool="a")
    index = ReplicaIndex([first, second, rest])
    wish = Preferences(pools=(PoolRef("n", "q"), PoolRef("n", "r")))
    taken = []
    while (d := decide(PlacementInput(constraint=ANY, replicas=index, preferences=wish))).chosen:
        taken.append(d.chosen.key.pool_id)
        index.set_active(d.chosen.key, index.active(d.chosen.key) + 2)
    assert taken == ["q", "r", "a"]


def test_matching_labels_and_a_wide_spread_are_preferred():
    x0, x1 = replica("x0", labels={"zone": "x"}), replica("x1", labels={"zone": "x"})
    y0 = replica("y0", labels={"zone": "y"})
    index = ReplicaIndex([x0, x1, y0], {y0.key: 1})
    assert chosen(index, preferences=Preferences(labels={"zone": "y"})) == "y0"
    assert chosen(index, preferences=Preferences(spread_by="zone")) == "x0"
    index.set_active(x1.key, 2)
    assert chosen(index, preferences=Preferences(spread_by="zone")) == "y0"


def test_reasons_are_told_nearest_miss_first_and_only_of_the_moment():
    views = [replica("a"), replica("b"), replica("c", draining=True)]
    index = ReplicaIndex(views)
    decision = decide(PlacementInput(constraint=ANY, replicas=index))
    assert [(c.key.replica_id, c.refused) for c in decision.candidates()] == [
        ("a", None),
        ("b", Refusal.NOT_FIRST),
        ("c", Refusal.DRAINING),
    ]
    index.set_active(views[0].key, 1)
    with pytest.raises(StaleDecision):
        decision.candidates()


@pytest.mark.parametrize(
    ("facts", "when", "reason"),
    [
        ({}, When.NOW, None),
        ({"state": HealthState.LOADING}, When.LATER, Refusal.NOT_READY),
        ({"state": HealthState.RESTARTING}, When.LATER, Refusal.NOT_READY),
        ({"suspect": True}, When.LATER, Refusal.SUSPECT),
        ({"breaker_closed": False}, When.LATER, Refusal.BREAKER_OPEN),
        ({"model_id": "x", "loadable_models": frozenset({"m"})}, When.LATER, Refusal.WRONG_MODEL),
        ({"state": HealthState.FAILED}, When.NEVER, Refusal.NOT_READY),
        ({"state": HealthState.STOPPED}, When.NEVER, Refusal.NOT_READY),
        ({"draining": True}, When.NEVER, Refusal.DRAINING),
        ({"online": False}, When.NEVER, Refusal.OFFLINE),
        ({"model_id": "x"}, When.NEVER, Refusal.WRONG_MODEL),
    ],
)
def test_a_task_waits_only_for_what_comes_by_itself(facts, when, reason):
    servable = could_serve(ANY, [replica(**facts)])
    assert (servable.when, servable.reason) == (when, reason)


def test_of_many_misses_the_nearest_is_named():
    far = replica("far", engine="vllm")
    near = replica("near", draining=True)
    llamacpp = replace(ANY, engine="llamacpp")
    for views in ([far, near], [near, far]):
        assert could_serve(llamacpp, views).reason is Refusal.DRAINING


def test_without_any_replica_there_is_not_even_a_reason():
    servable = could_serve(ANY, [])
    assert (servable.when, servable.reason) == (When.NEVER, None)


def test_an_unknown_replica_has_no_load_and_no_place():
    index = ReplicaIndex()
    key = ReplicaKey("n", "p", "r")
    assert (index.active(key), index.slots_free(key), index.get(key)) == (0, 0, None)
    index.remove(key)
    with pytest.raises(UnknownReplica):
        index.set_active(key, 1)
    with pytest.raises(UnknownReplica):
        index.set_load(key, 1)
    with pytest.raises(UnknownReplica):
        index.rank(key)
