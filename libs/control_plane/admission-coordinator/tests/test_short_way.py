"""A task that need not wait: nobody can tell that it has never stood in the queue."""

import asyncio
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from admission_coordinator.ids import new_task_id
from admission_coordinator.placing import (
    any_replica_of,
    constraint_of,
    goes_anywhere,
    preferences_of,
)
from api_types import ApiError, TaskRequest
from multi_node_placement import ClusterView, PrefixScorer
from orchestrator_core import ANYWHERE, ModelQueue

POOLS = ("pool-a", "pool-b")

submits = st.fixed_dictionaries(
    {"prompt": st.sampled_from(["one", "one two three", "a b c d e f g h", "too long " * 9])},
    optional={
        "priority": st.sampled_from(["interactive", "batch"]),
        "session_id": st.sampled_from(["s1", "s2"]),
        "deadline_ms": st.just(600_000),
        "max_tokens": st.sampled_from([3, 30]),
        "determinism": st.sampled_from(["best_effort", "strict"]),
        "placement": st.sampled_from(
            [
                {},
                {"mode": "pin", "pin_pool_id": "pool-b"},
                {"mode": "prefer", "prefer_pools": ["pool-b"]},
                {"avoid_pools": ["pool-a"]},
            ]
        ),
        "identity": st.sampled_from(["me", "you"]),
    },
)
steps = st.one_of(
    st.tuples(st.just("submit"), submits),
    st.tuples(st.just("submit"), submits),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("tokens"), st.integers(1, 9)),
    st.tuples(st.just("wait"), st.integers(1, 20)),
    st.tuples(st.just("revoke"), st.sampled_from(POOLS)),
)


@settings(
    max_examples=60,
    deadline=None,
    # The fixture is a function that builds a new world for each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(steps, min_size=10, max_size=40), scored=st.booleans())
def test_all_that_is_told_is_as_if_every_task_went_through_the_queue(
    script: list[tuple[str, Any]], scored: bool, world_of: Any
) -> None:
    short = asyncio.run(_play(script, scored, world_of))
    with patch.object(ModelQueue, "pass_through", return_value=False):
        assert asyncio.run(_play(script, scored, world_of)) == short


async def _play(script: list[tuple[str, Any]], scored: bool, world_of: Any) -> list[Any]:
    """Return what observers, callers and readers were told; a task's id is its number."""
    told: list[Any] = []
    scorer = PrefixScorer() if scored else None
    async with world_of(
        {"pool-a": 1, "pool-b": 2}, scorer=scorer, capacity=4, max_queue_bytes=60
    ) as world:
        tasks: list[Any] = []
        for pool_id in POOLS:
            world.engine(pool_id).hold()
        for what, detail in script:
            match what:
                case "submit":
                    number = len(tasks) + 1
                    fields = {**detail, "task_id": UUID(int=number)}
                    try:
                        tasks.append(world.submit(**fields))
                    except ApiError as error:
                        told.append(("refused", error.code, error.retry_after_ms))
                    else:
                        told.append(("admitted", world.coordinator.position(tasks[-1])))
                case "cancel" if tasks:
                    task = tasks[detail % len(tasks)]
                    world.coordinator.cancel(task.task_id, identity=task.identity)
                case "tokens":
                    for pool_id in POOLS:
                        world.engine(pool_id).release(detail)
                case "wait":
                    world.clock.ms += detail
                    for _ in range(detail):
                        await asyncio.sleep(0)
                case "revoke":
                    world.replicas.revoke(detail)
        for pool_id in POOLS:
            world.engine(pool_id).release()
        while not all(task.ended for task in tasks):  # A reader of one that waits is told more.
            await asyncio.sleep(0)
        for task in tasks:
            told.append([(f.id, f.event, f.data) for f in await world.frames(task)])
            told.append(world.coordinator.status(task.task_id, identity=task.identity))
        told += world.observer.seen
    return told


def test_a_request_that_goes_anywhere_is_placed_as_one_that_says_so() -> None:
    cluster = ClusterView()
    plain = TaskRequest.model_validate({"prompt": "x", "model_ref": "m", "max_tokens": 7})
    assert goes_anywhere(plain)
    assert any_replica_of("m") == constraint_of(plain, "m", cluster)
    assert preferences_of(plain, cluster) == ANYWHERE


@pytest.mark.parametrize(
    "wish",
    [
        {"ctx": 7},
        {"engine": "vllm"},
        {"determinism": "strict"},
        {"workload": "embedding", "prompt": None, "inputs": ["x"]},
        {"placement": {"node_id": "n"}},
        {"placement": {"prefer_labels": {"zone": "x"}}},
        {"placement": {"spread_by": "zone"}},
    ],
)
def test_whoever_has_a_wish_does_not_go_anywhere(wish: dict[str, Any]) -> None:
    assert not goes_anywhere(TaskRequest.model_validate({"prompt": "x", **wish}))


def test_ids_of_tasks_are_random_uuids_in_their_usual_form() -> None:
    ids = [new_task_id() for _ in range(200)]
    assert len(set(ids)) == len(ids)
    for each in ids:
        assert (str(UUID(each)), UUID(each).version) == (each, 4)
    assert {UUID(each).variant for each in ids} == {UUID(ids[0]).variant}
    assert {each[19] for each in ids} == set("89ab")
