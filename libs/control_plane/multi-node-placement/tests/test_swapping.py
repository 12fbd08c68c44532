"""What reports say of pools that change models."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from multi_node_placement import ClusterView, SwapBook
from multi_node_placement.testing import pool_report
from orchestrator_core import Constraint, PoolRef, ReplicaView, When, could_serve
from orchestrator_core.testing import constraints, replica_views
from pool_registry_types import HealthState, LoadFailure, ModelChange

LOADABLE = {"p": ("m", "n")}
ON_N = Constraint(model_id="n")


def reported(**changes):
    view = ClusterView()
    more = {name: changes.pop(name) for name in ("load_failures", "change") if name in changes}
    view.apply_report("a", [pool_report(**changes).model_copy(update=more)], loadable=LOADABLE)
    return view


def test_a_swapping_pool_has_its_model_and_those_that_it_may_load():
    (pool,) = reported().swapping.pools()
    assert (pool.pool, pool.models) == (PoolRef("a", "p"), {"m", "n"})
    assert pool.wants(ON_N)
    assert pool.wants(Constraint(model_id="m"))
    assert not pool.wants(Constraint(model_id="x"))
    assert not pool.wants(Constraint(model_id="n", node_id="b"))


def test_a_view_without_swapping_pools_knows_it_at_once():
    view = reported()
    assert view.swapping.any
    view.apply_report("a", [pool_report()])
    assert not view.swapping.any
    view = reported()
    view.remove_node("a")
    assert not view.swapping.any


def test_a_draining_or_silent_pool_is_asked_for_nothing():
    (pool,) = reported(draining=True).swapping.pools()
    assert not pool.wants(ON_N)
    view = reported()
    view.set_online("a", False)
    (pool,) = view.swapping.pools()
    assert not pool.wants(ON_N)


def test_whatever_is_loaded_a_model_that_may_be_loaded_is_worth_waiting_for():
    for state in HealthState:
        for model_id in ("m", None):
            when = reported(state=state, model_id=model_id).could_serve(ON_N).when
            worth = state is not HealthState.DRAINING
            assert when is (When.LATER if worth else When.NEVER), (state, model_id)


def test_what_comes_with_the_loaded_model_refuses_no_task_of_another():
    view = reported(slots=0, state=HealthState.STOPPED, model_id=None, prompt_cache=False)
    for wish in ({"ctx_tokens": 9000}, {"strict": True}, {"device_mask": "GPU-1"}):
        assert view.could_serve(Constraint(model_id="n", **wish)).when is When.LATER, wish
    view = reported(slots=2)
    assert view.could_serve(Constraint(model_id="n", ctx_tokens=9000)).when is When.LATER
    assert view.could_serve(Constraint(model_id="m", ctx_tokens=9000)).when is When.NEVER
    assert view.could_serve(Constraint(model_id="n", strict=True)).when is When.NEVER


def test_failures_and_changes_are_those_of_the_last_report():
    failure = LoadFailure(model_id="n", reason="too large", retry_ms=9)
    view = reported(load_failures=(failure,), change=ModelChange(model_id="m", phase="starting"))
    assert view.swapping.failure("n") == (PoolRef("a", "p"), failure)
    assert view.swapping.failure("m") is None
    assert view.swapping.change("m")[1].phase == "starting"
    view.apply_report("a", [pool_report()])
    assert view.swapping.failure("n") is None
    assert view.swapping.change("m") is None


@given(constraints, st.lists(replica_views, max_size=4, unique_by=lambda view: view.key.pool))
def test_no_task_waits_for_a_model_that_no_node_knows_to_keep(
    constraint: Constraint, views: Sequence[ReplicaView]
) -> None:
    book = SwapBook()
    for view in views:
        book.put(view)
    told = any(
        constraint.model_id in pool.models and pool.wants(constraint) for pool in book.pools()
    )
    # A node keeps by itself what its pools serve, load or are set up for.
    having = [view for view in views if view.model_id == constraint.model_id]
    kept = could_serve(constraint, having).when is not When.NEVER
    assert told or kept or could_serve(constraint, views).when is When.NEVER
