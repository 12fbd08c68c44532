"""Placement against its plain model."""

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_core import (
    Constraint,
    Outcome,
    PlacementInput,
    Preferences,
    Refusal,
    ReplicaIndex,
    When,
    could_serve,
    decide,
)
from orchestrator_core.testing import (
    constraints,
    reference_choice,
    replica_indexes,
    replica_views,
    scorers,
)


@settings(max_examples=400, deadline=None)
@given(constraint=constraints, index=replica_indexes())
def test_a_decision_is_the_one_that_a_look_at_every_replica_gives(
    constraint: Constraint, index: ReplicaIndex
) -> None:
    decision = decide(PlacementInput(constraint=constraint, replicas=index))
    assert (decision.chosen and decision.chosen.key) == reference_choice(decision.input)


@settings(max_examples=400, deadline=None)
@given(constraint=constraints, index=replica_indexes(), data=st.data())
def test_preferences_never_make_a_task_wait_and_never_break_a_constraint(
    constraint: Constraint, index: ReplicaIndex, data: st.DataObject
) -> None:
    keys = [view.key for view in index]
    wishes = Preferences(
        affinity=data.draw(st.none() | st.sampled_from(keys)) if keys else None,
        pools=tuple(key.pool for key in data.draw(st.permutations(keys))[:2]),
        labels=data.draw(st.sampled_from([{}, {"zone": "x"}])),
        spread_by=data.draw(st.sampled_from([None, "zone"])),
    )
    scorer = data.draw(st.none() | scorers(keys))
    plain = PlacementInput(constraint=constraint, replicas=index)
    wished = PlacementInput(
        constraint=constraint, replicas=index, preferences=wishes, scorer=scorer
    )
    decision = decide(wished)
    assert decision.outcome is decide(plain).outcome
    if decision.chosen is not None:
        assert index.can_start(constraint, decision.chosen.key)


@settings(max_examples=400, deadline=None)
@given(constraint=constraints, index=replica_indexes(), data=st.data())
def test_a_scored_decision_is_the_one_that_scoring_every_replica_gives(
    constraint: Constraint, index: ReplicaIndex, data: st.DataObject
) -> None:
    scorer = data.draw(scorers([view.key for view in index]))
    decision = decide(PlacementInput(constraint=constraint, replicas=index, scorer=scorer))
    assert (decision.chosen and decision.chosen.key) == reference_choice(decision.input)
    for candidate in decision.candidates():
        able = candidate.refused in (None, Refusal.NOT_FIRST)
        assert (candidate.estimate is not None) == able


@given(constraint=constraints, index=replica_indexes(), data=st.data())
def test_every_replica_is_the_chosen_one_or_has_a_reason(
    constraint: Constraint, index: ReplicaIndex, data: st.DataObject
) -> None:
    tried = frozenset(view.key for view in index if data.draw(st.booleans()))
    decision = decide(PlacementInput(constraint=constraint, replicas=index, tried=tried))
    candidates = decision.candidates()
    expected = list(index.of_model(constraint.model_id)) or list(index)
    assert sorted(c.key for c in candidates) == sorted(view.key for view in expected)
    taken = [c.key for c in candidates if c.refused is None]
    assert taken == ([decision.chosen.key] if decision.chosen else [])
    reasons = {c.refused for c in candidates}
    assert (Refusal.NOT_FIRST in reasons) <= (decision.outcome is Outcome.PLACED)
    assert decision.candidates(2) == candidates[:2]
    if decision.outcome is Outcome.INFEASIBLE:
        assert Refusal.NO_SLOT not in reasons


@given(
    constraint=constraints,
    index=replica_indexes(),
    limit=st.none() | st.integers(1, 3),
    data=st.data(),
)
def test_an_explanation_tells_of_the_moment_of_the_decision_whenever_it_is_read(
    constraint: Constraint, index: ReplicaIndex, limit: int | None, data: st.DataObject
) -> None:
    keys = [view.key for view in index]
    scorer = data.draw(st.none() | scorers(keys))
    decision = decide(PlacementInput(constraint=constraint, replicas=index, scorer=scorer))
    told_at_once, kept = decision.candidates(limit), decision.explain(limit)
    for key in keys:
        if data.draw(st.booleans()):
            index.set_active(key, data.draw(st.integers(0, 5)))
        else:
            index.remove(key)
    assert len(kept) == len(told_at_once)
    assert tuple(kept) == told_at_once == kept[:]
    assert len(kept) == len(told_at_once)


@given(constraint=constraints, index=replica_indexes())
def test_a_task_that_could_start_is_servable_now(
    constraint: Constraint, index: ReplicaIndex
) -> None:
    decision = decide(PlacementInput(constraint=constraint, replicas=index))
    servable = could_serve(constraint, index)
    assert (servable.when is When.NOW) == (decision.outcome is not Outcome.INFEASIBLE)
    assert (servable.reason is None) == (servable.when is When.NOW or not len(index))


@given(
    index=replica_indexes(),
    puts=st.lists(st.tuples(replica_views, st.integers(0, 5)), max_size=6),
    data=st.data(),
)
def test_the_index_stays_in_order_through_any_change(
    index: ReplicaIndex, puts: list, data: st.DataObject
) -> None:
    for view, active in puts:
        index.put(view, active)
        index.check_invariants()
    maybe = st.none() | st.integers(0, 5)
    for view in list(index):
        key, before = view.key, index.slots_free(view.key)
        match data.draw(st.integers(0, 2)):
            case 0:
                index.set_active(key, data.draw(st.integers(0, 5)))
            case 1:
                more = index.set_load(key, data.draw(maybe), data.draw(maybe))
                assert more == (view.takes_tasks and index.slots_free(key) > before)
            case _:
                index.remove(key)
        index.check_invariants()
