"""Any order of submits, cancels, losses and leaving readers: every task ends exactly once."""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter_api import EngineFailed, EngineRefused, EngineReset, EngineTimeout
from admission_coordinator.testing import check_grammar
from api_types import ApiError
from mock_adapter import Script
from pool_registry_types import HealthState

POOLS = ("pool-a", "pool-b")

submits = st.fixed_dictionaries(
    {"prompt": st.sampled_from(["one", "one two three", "a b c d e f g h"])},
    optional={
        "priority": st.sampled_from(["interactive", "batch"]),
        "session_id": st.sampled_from(["s1", "s2"]),
        "deadline_ms": st.sampled_from([10, 10_000]),
        "on_worker_loss": st.sampled_from(["fail", "restart", "resume"]),
        "sampling": st.just({"temperature": 0}),
        "on_disconnect": st.sampled_from(["continue", "cancel"]),
        "identity": st.sampled_from(["me", "you"]),
    },
)
faults = st.sampled_from(
    [
        Script(fail=EngineFailed("500")),
        Script(fail=EngineRefused("400")),
        Script(fail=EngineReset("cut"), fail_after_tokens=1),
        Script(fail=EngineTimeout("silence"), fail_after_tokens=2),
    ]
)
steps = st.one_of(
    st.tuples(st.just("submit"), submits),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("tokens"), st.integers(1, 5)),
    st.tuples(st.just("fault"), st.tuples(st.sampled_from(POOLS), faults)),
    st.tuples(st.just("read"), st.integers(0, 30)),
    st.tuples(st.just("leave"), st.integers(0, 30)),
    st.tuples(st.just("wait"), st.integers(1, 20)),
    st.tuples(st.just("revoke"), st.sampled_from(POOLS)),
    st.tuples(st.just("restart"), st.sampled_from(POOLS)),
)


@pytest.mark.timeout(240)
@settings(
    max_examples=150,
    deadline=None,
    # The fixture is a function that builds a new world for each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(steps, max_size=60))
def test_every_admitted_task_ends_exactly_once_and_gives_everything_back(
    script: list[tuple[str, Any]], world_of: Any
) -> None:
    asyncio.run(_play(script, world_of))


async def _play(script: list[tuple[str, Any]], world_of: Any) -> None:
    async with world_of(
        {"pool-a": 1, "pool-b": 2}, capacity=6, disconnect_grace_ms=1, retry_budget=2
    ) as world:
        tasks: list[Any] = []
        cursors: list[Any] = []
        for pool_id in POOLS:
            world.engine(pool_id).hold()
        for generation, (what, detail) in enumerate(script, start=2):
            match what:
                case "submit":
                    with contextlib.suppress(ApiError):
                        tasks.append(world.submit(**detail))
                case "cancel" if tasks:
                    task = tasks[detail % len(tasks)]
                    world.coordinator.cancel(task.task_id, identity=task.identity)
                case "tokens":
                    for pool_id in POOLS:
                        world.engine(pool_id).release(detail)
                case "fault":
                    pool_id, fault = detail
                    world.engine(pool_id).plan(fault)
                case "read" if tasks:
                    task = tasks[detail % len(tasks)]
                    cursor = world.coordinator.open_stream(task.task_id, identity=task.identity)
                    assert cursor is not None
                    cursors.append(cursor)
                case "leave" if cursors:
                    cursors.pop(detail % len(cursors)).close()
                case "wait":
                    world.clock.ms += detail
                    for _ in range(detail):
                        await asyncio.sleep(0)
                case "revoke":
                    world.replicas.revoke(detail)
                case "restart":
                    slots = 1 if detail == "pool-a" else 2
                    world.report(
                        world.snapshot(
                            detail, slots=slots, state=HealthState.LOADING, generation=generation
                        )
                    )
                    world.report(world.snapshot(detail, slots=slots, generation=generation))
        for pool_id in POOLS:
            world.engine(pool_id).release()
        for cursor in cursors:
            cursor.close()
        for task in tasks:
            check_grammar(await world.frames(task))
        while any(world.engine(pool_id).running for pool_id in POOLS):
            await asyncio.sleep(0)
        await world.coordinator.shut_down(grace_ms=1_000)
        ended = [task_id for seen, task_id in world.observer.seen if seen == "ended"]
        assert sorted(ended) == sorted(task.task_id for task in tasks)
        assert world.coordinator.queue_depth() == 0
        for view in world.cluster.replicas():
            assert world.cluster.slots_free(view.key) == view.slots_total
        world.cluster.check_invariants()
