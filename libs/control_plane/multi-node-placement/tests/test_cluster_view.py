"""What the cluster view promises, one sentence at a time."""

import pytest

from multi_node_placement import AmbiguousPool, ClusterView, NotPlaced, UnknownPool
from multi_node_placement.testing import pool_report
from orchestrator_core import Constraint, Outcome, Preferences, Refusal, ReplicaKey, When
from pool_registry_types import HealthState

ANY = Constraint(model_id="m")
R0 = ReplicaKey("n", "p", "r0")


@pytest.fixture
def freed() -> list[ReplicaKey]:
    return []


@pytest.fixture
def view(freed) -> ClusterView:
    return ClusterView(on_slot_free=freed.append)


def reserve(view, constraint=ANY, **given):
    return view.reserve(view.decide(constraint, **given), **given)


def test_a_reservation_takes_a_slot_and_its_release_gives_it_back_once(view, freed):
    view.apply_report("n", [pool_report(slots=1)])
    assert freed == [R0]
    held = reserve(view)
    assert view.slots_free(R0) == 0
    assert view.decide(ANY).outcome is Outcome.BUSY
    assert view.release(held) is True
    assert view.release(held) is False
    assert view.slots_free(R0) == 1
    assert freed == [R0, R0]


def test_two_decisions_cannot_take_the_same_slot(view):
    view.apply_report("n", [pool_report(slots=1)])
    first, second = view.decide(ANY), view.decide(ANY)
    view.reserve(first)
    with pytest.raises(NotPlaced):
        view.reserve(second)
    with pytest.raises(NotPlaced):
        view.reserve(view.decide(ANY))


def test_our_own_lease_in_a_report_is_not_counted_twice(view):
    view.apply_report("n", [pool_report(slots=4)])
    reserve(view)
    view.apply_report("n", [pool_report(slots=4, leases=1)])
    assert view.slots_free(R0) == 3


def test_a_report_older_than_our_release_does_not_take_the_slot_again(view):
    view.apply_report("n", [pool_report(slots=1)])
    held = reserve(view)
    late = pool_report(slots=1, leases=1)
    view.release(held)
    view.apply_report("n", [late])
    assert view.slots_free(R0) == 1


def test_two_late_reports_do_not_take_the_slot_again_either(view):
    view.apply_report("n", [pool_report(slots=1)])
    held = reserve(view)
    late = pool_report(slots=1, leases=1)
    view.release(held)
    for _ in range(2):
        view.apply_report("n", [late])
        assert view.slots_free(R0) == 1


def test_a_lease_that_stays_after_ours_have_gone_is_found_to_be_foreign(view):
    view.apply_report("n", [pool_report(slots=1)])
    view.release(reserve(view))
    for _ in range(3):
        view.apply_report("n", [pool_report(slots=1, leases=1)])
    assert view.slots_free(R0) == 0


def test_leases_of_others_take_slots(view):
    view.apply_report("n", [pool_report(slots=4, leases=3)])
    reserve(view)
    assert view.slots_free(R0) == 0
    view.apply_report("n", [pool_report(slots=4, leases=1)])
    assert view.slots_free(R0) == 3


def test_a_node_that_said_busy_is_believed_until_its_next_pool_report(view, freed):
    view.apply_report("n", [pool_report()])
    view.mark_full(R0)
    assert view.decide(ANY).outcome is Outcome.BUSY
    freed.clear()
    view.apply_report("n", [pool_report()])
    assert freed == [R0]
    assert view.decide(ANY).outcome is Outcome.PLACED


def test_a_report_that_changes_nothing_wakes_nobody(view, freed):
    view.apply_report("n", [pool_report()])
    freed.clear()
    view.apply_report("n", [pool_report()])
    assert freed == []


def test_a_report_said_again_counts_leases_as_one_given_whole_does(view, freed):
    view.apply_report("n", [pool_report(slots=1, leases=1)])
    assert view.slots_free(R0) == 0
    view.apply_report("n", [pool_report(slots=1)])
    view.release(reserve(view))
    late = [pool_report(slots=1, leases=1)]
    view.apply_report("n", late)
    assert view.slots_free(R0) == 1
    assert view.report_again("n")
    assert view.slots_free(R0) == 1
    assert view.report_again("n")
    assert view.slots_free(R0) == 0  # It has stayed after ours had gone: it is another's.
    view.check_invariants()


def test_a_node_that_said_busy_is_believed_until_it_says_its_report_again(view, freed):
    view.apply_report("n", [pool_report()])
    view.mark_full(R0)
    freed.clear()
    assert view.report_again("n")
    assert freed == [R0]
    assert view.report_again("n")
    assert freed == [R0]


def test_a_report_of_load_changes_what_placement_sees_of_those_pools(view, freed):
    view.apply_report("n", [pool_report(slots=2, leases=2)], labels={"zone": "a"})
    assert view.report_load("n", (pool_report(slots=2, leases=1, vram_free_bytes=7),))
    assert freed == [R0]
    found = view.get(R0)
    assert (found.vram_free_bytes, found.labels, view.slots_free(R0)) == (7, {"zone": "a"}, 1)
    view.check_invariants()


def test_a_report_of_load_leaves_marks_as_they_are(view, freed):
    view.apply_report("n", [pool_report(leases=1)])
    view.mark_suspect(R0)
    freed.clear()
    assert view.report_load("n", (pool_report(vram_free_bytes=7),))
    assert view.get(R0).suspect
    assert freed == []
    view.check_invariants()


def test_a_swapping_pool_that_is_busier_is_known_as_such(view):
    loadable = {"p": ["other"]}
    view.apply_report("n", [pool_report()], loadable=loadable)
    assert view.report_load("n", (pool_report(leases=1, vram_free_bytes=7),))
    (swapping,) = view.swapping.pools()
    assert swapping.views == (view.get(R0),)


def test_after_silence_a_report_has_to_be_given_whole(view):
    view.apply_report("n", [pool_report()])
    view.set_online("n", False)
    assert not view.report_again("n")
    assert not view.report_load("n", (pool_report(leases=1),))
    view.apply_report("n", [pool_report()])
    assert view.report_again("n")
    assert view.decide(ANY).outcome is Outcome.PLACED
    view.remove_node("n")
    assert not view.report_again("n")


def test_a_report_said_again_leaves_marks_as_they_are(view):
    view.apply_report("n", [pool_report()])
    view.mark_suspect(R0)
    assert view.report_again("n")
    view.apply_report("n", [pool_report()])
    assert view.decide(ANY).candidates()[0].refused is Refusal.SUSPECT
    view.check_invariants()


def test_of_two_pools_with_one_id_the_last_counts_also_when_the_first_changes(view):
    busy, free = pool_report(slots=1), pool_report(slots=3)
    view.apply_report("n", [busy, free])
    view.apply_report("n", [pool_report(slots=2), free])
    assert view.slots_free(R0) == 3
    assert not view.report_load("n", (pool_report(slots=2, leases=1), free))
    view.check_invariants()


def test_a_suspect_gets_no_task_until_it_answers_whatever_reports_say(view, freed):
    view.apply_report("n", [pool_report()])
    view.mark_suspect(R0)
    view.apply_report("n", [pool_report(vram_free_bytes=5)])
    assert view.decide(ANY).candidates()[0].refused is Refusal.SUSPECT
    freed.clear()
    view.clear_suspect(R0)
    assert freed == [R0]
    assert view.decide(ANY).chosen is not None


def test_an_open_breaker_keeps_tasks_away_until_it_closes(view, freed):
    view.apply_report("n", [pool_report()])
    view.set_breaker(R0, closed=False)
    assert view.could_serve(ANY).when is When.LATER
    assert view.free_replicas("m") == []
    assert view.open_breakers() == (R0,)
    freed.clear()
    view.set_breaker(R0, closed=True)
    assert view.open_breakers() == ()
    assert freed == [R0]
    assert view.free_replicas("m") == [R0]


def test_a_new_engine_process_starts_without_old_marks(view):
    view.apply_report("n", [pool_report(generation=1)])
    view.mark_suspect(R0)
    view.set_breaker(R0, closed=False)
    view.apply_report("n", [pool_report(generation=2)])
    assert view.decide(ANY).outcome is Outcome.PLACED
    view.check_invariants()


def test_marks_on_a_replica_that_nobody_knows_are_ignored(view):
    view.mark_suspect(R0)
    view.clear_suspect(R0)
    view.set_breaker(R0, closed=False)
    view.mark_full(R0)
    view.check_invariants()


def test_a_vanished_pool_leaves_and_its_reservation_can_still_be_released(view):
    view.apply_report("n", [pool_report("p"), pool_report("q")])
    held = reserve(view)
    view.apply_report("n", [pool_report("q")])
    assert view.get(held.key) is None
    assert view.release(held) is True
    view.remove_node("n")
    assert list(view.replicas()) == []
    view.check_invariants()


def test_a_reservation_outlives_a_replica_that_comes_back(view):
    view.apply_report("n", [pool_report(slots=2)])
    held = reserve(view)
    view.remove_node("n")
    view.apply_report("n", [pool_report(slots=2, leases=1)])
    assert view.slots_free(R0) == 1
    view.release(held)
    assert view.slots_free(R0) == 2


def test_an_offline_node_takes_no_task_and_keeps_its_reservations(view, freed):
    view.apply_report("n", [pool_report()])
    held = reserve(view)
    view.set_online("n", online=False)
    assert view.decide(ANY).outcome is Outcome.INFEASIBLE
    freed.clear()
    view.release(held)
    assert freed == []
    view.set_online("n", online=True)
    assert freed == [R0]


def test_load_is_spread_over_nodes(view):
    view.apply_report("a", [pool_report(slots=2)])
    view.apply_report("b", [pool_report(slots=2)])
    assert [reserve(view).key.node_id for _ in range(4)] == ["a", "b", "a", "b"]


def test_a_pool_is_named_by_its_bare_id_where_that_is_unique(view):
    view.apply_report("a", [pool_report("chat"), pool_report("only-a")])
    view.apply_report("b", [pool_report("chat")])
    assert str(view.resolve_pool("only-a")) == "a:only-a"
    assert str(view.resolve_pool("b:chat")) == "b:chat"
    with pytest.raises(AmbiguousPool) as caught:
        view.resolve_pool("chat")
    assert caught.value.candidates == ("a:chat", "b:chat")
    for name in ("nobody", "a:nobody"):
        with pytest.raises(UnknownPool):
            view.resolve_pool(name)


def test_a_pool_without_a_replica_can_be_named_and_waited_for(view):
    view.apply_report("n", [pool_report(replicas=0, state=HealthState.STARTING)])
    assert str(view.resolve_pool("p")) == "n:p"
    assert view.could_serve(ANY).when is When.LATER
    model = view.models()["m"]
    assert (model.replicas, model.replicas_ready, model.slots_total) == (0, 0, 0)


def test_models_are_summed_over_replicas_and_name_what_could_be_loaded(view):
    view.apply_report("n", [pool_report(replicas=2, slots=3)], loadable={"p": ["other"]})
    served, loadable = view.models()["m"], view.models()["other"]
    assert (served.replicas_ready, served.slots_total) == (2, 6)
    assert (served.ctx_max, served.engines, served.loadable) == (4096, ("llamacpp",), False)
    assert (loadable.loadable, loadable.slots_total) == (True, 0)
    assert view.could_serve(Constraint(model_id="other")).when is When.LATER


def test_what_an_engine_cannot_do_is_refused(view):
    view.apply_report("n", [pool_report()], workloads={"p": ["completion"]})
    assert view.could_serve(ANY).when is When.NOW
    rerank = Constraint(model_id="m", workload="rerank")
    assert view.could_serve(rerank).reason is Refusal.NO_WORKLOAD


def test_slots_for_a_constraint_follow_the_reports(view):
    view.apply_report("n", [pool_report(slots=2)])
    assert view.slots_for(ANY) == 2
    reserve(view)
    assert view.slots_for(ANY) == 2
    view.apply_report("n", [pool_report(slots=5)])
    assert view.slots_for(ANY) == 5
    view.apply_report("n", [])
    assert view.slots_for(ANY) == 0


def test_a_replica_serves_what_it_could_start_now(view):
    view.apply_report("n", [pool_report(slots=1)])
    assert view.serves(R0)(ANY)
    assert not view.serves(R0)(Constraint(model_id="other"))
    reserve(view)
    assert not view.serves(R0)(ANY)


def test_a_session_returns_to_its_warm_replica_when_a_slot_is_free_there(view):
    view.apply_report("n", [pool_report(replicas=2)])
    first = reserve(view, session_id="s")
    assert view.kv_warmth("s") == 1.0
    again = reserve(view, session_id="s")
    assert again.key == first.key
    third = reserve(view, session_id="s")
    assert third.key != first.key


def test_warmth_fades_with_each_other_task_and_ends_with_the_engine(view):
    view.apply_report("n", [pool_report(slots=4)])
    view.release(reserve(view, session_id="s"))
    view.release(reserve(view))
    assert view.kv_warmth("s") == pytest.approx(0.75)
    view.apply_report("n", [pool_report(slots=4, generation=2)])
    assert view.kv_warmth("s") == 0.0
    assert view.kv_warmth("unknown") == 0.0


def test_a_forgotten_session_is_cold(view):
    view.apply_report("n", [pool_report()])
    reserve(view, session_id="s")
    view.forget_session("s")
    assert view.kv_warmth("s") == 0.0


def test_preferences_and_session_are_joined(view):
    view.apply_report("n", [pool_report("p"), pool_report("q")])
    q = view.resolve_pool("q")
    decision = view.decide(ANY, preferences=Preferences(pools=(q,)))
    assert decision.chosen is not None
    assert decision.chosen.key.pool == q
