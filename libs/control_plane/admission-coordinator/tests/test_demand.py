"""What tasks wait for, told to the pools that change models."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from admission_coordinator import ModelWaits
from admission_coordinator.preparing import steps_for
from api_types import ApiError, ErrorCode
from orchestrator_core import PoolRef
from pool_registry_types import HealthState, LoadFailure, ModelChange, PoolSnapshot

Worlds = Any
POOL = PoolRef("home", "pool-a")


class Told:
    """A sink that keeps what it was told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.log: list[dict[str, int]] = []
        self.ages_ms: dict[str, int] = {}
        self._news = asyncio.Event()

    def tell_demand(self, pool: PoolRef, demand: Mapping[str, ModelWaits]) -> None:
        assert pool == POOL
        self.log.append({model: waits.waiting for model, waits in demand.items()})
        self.ages_ms = {model: waits.oldest_ms for model, waits in demand.items()}
        self._news.set()

    async def next(self) -> dict[str, int]:
        async with asyncio.timeout(5):
            await self._news.wait()
        self._news.clear()
        return self.log[-1]


def loads(snapshot: PoolSnapshot, *models: str, **more: object) -> PoolSnapshot:
    return snapshot.model_copy(update={"swap_models": True, "loadable_models": models, **more})


async def test_a_waiting_task_is_told_at_once_and_its_end_too(world_of: Worlds) -> None:
    told = Told()
    async with world_of(demand=told) as world:
        world.report(loads(world.snapshot("pool-a", slots=1), "demo", "absent"))
        task = world.submit(model_ref="absent")
        assert await told.next() == {"absent": 1}
        world.coordinator.cancel(task.task_id, identity="me")
        assert await told.next() == {}


async def test_changes_of_one_moment_are_told_together_with_the_age_of_the_oldest(
    world_of: Worlds,
) -> None:
    told = Told()
    async with world_of(demand=told) as world:
        world.report(loads(world.snapshot("pool-a", slots=1), "demo", "absent"))
        world.submit(model_ref="absent")
        await told.next()
        world.clock.ms += 700
        for _ in range(50):
            world.submit(model_ref="absent", identity="other")
        assert await told.next() == {"absent": 51}
        assert told.ages_ms == {"absent": 700}
        assert len(told.log) == 2


async def test_the_tasks_of_the_loaded_model_are_told_as_well(world_of: Worlds) -> None:
    told = Told()
    async with world_of(demand=told) as world:
        world.engine().hold()
        world.report(loads(world.snapshot("pool-a", slots=1), "demo", "absent"))
        tasks = [world.submit(model_ref=model) for model in ("demo", "demo", "absent")]
        assert await told.next() == {"demo": 1, "absent": 1}
        world.engine().release()
        await world.frames(tasks[1])
        assert (await told.next()) == {"absent": 1}


async def test_where_no_pool_swaps_nothing_is_told(world_of: Worlds) -> None:
    told = Told()
    async with world_of(demand=told) as world:
        world.engine().hold()
        first, second = world.submit(), world.submit()
        world.engine().release()
        await world.frames(first)
        await world.frames(second)
        assert told.log == []


async def test_a_task_that_a_pool_may_not_serve_is_no_demand_of_it(world_of: Worlds) -> None:
    told = Told()
    async with world_of({"pool-a": 1, "pool-b": 1}, demand=told) as world:
        world.report(loads(world.snapshot("pool-a", slots=1), "absent"))
        pin = {"mode": "auto", "avoid_pools": ["pool-a"]}
        with pytest.raises(ApiError):
            world.submit(model_ref="absent", placement=pin)
        world.report(loads(world.snapshot("pool-a", slots=1, draining=True), "absent"))
        with pytest.raises(ApiError):
            world.submit(model_ref="absent")
        assert told.log == []


async def test_a_model_that_could_not_be_loaded_ends_its_tasks_with_the_cause(
    world_of: Worlds,
) -> None:
    async with world_of() as world:
        here = loads(world.snapshot("pool-a", slots=1), "demo", "absent")
        world.report(here)
        task = world.submit(model_ref="absent")
        failure = LoadFailure(model_id="absent", reason="it needs 9 GiB", retry_ms=4000)
        world.report(loads(here, "demo", load_failures=(failure,)))
        (*_, last) = await world.frames(task)
        assert (last.data["code"], last.data["retry_after_ms"]) == ("MODEL_NOT_AVAILABLE", 4000)
        assert "it needs 9 GiB" in last.data["message"]
        with pytest.raises(ApiError) as refused:
            world.submit(model_ref="absent")
        assert refused.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_who_waits_for_a_swap_is_told_its_steps(world_of: Worlds) -> None:
    async with world_of() as world:
        here = loads(world.snapshot("pool-a", slots=1), "demo", "absent")
        world.report(here)
        task = world.submit(model_ref="absent")
        reading = asyncio.ensure_future(world.frames(task))
        await asyncio.sleep(0)
        for phase, done in (("draining", None), ("starting", 25), ("starting", 50)):
            change = ModelChange(model_id="absent", phase=phase, bytes_total=100, bytes_done=done)
            world.report(loads(here, "demo", "absent", change=change))
            await asyncio.sleep(0.02)
        served = world.snapshot("pool-a", slots=1, model_id="absent", generation=2)
        world.report(loads(served, "demo", "absent"))
        frames = await reading
        told = [frame.data["prep"] for frame in frames if "prep" in frame.data]
        assert told[0]["swap"]["status"] == "running"
        assert told[0]["load"]["status"] == "pending"
        assert [prep["load"].get("pct") for prep in told[-2:]] == [25.0, 50.0]
        assert frames[-1].event == "end"


async def test_who_waits_for_an_engine_that_is_made_is_told_what_is_made(world_of: Worlds) -> None:
    async with world_of() as world:
        here = loads(world.snapshot("pool-a", slots=1), "demo", "absent")
        change = ModelChange(model_id="absent", phase="provisioning", detail="its engine is built")
        world.report(loads(here, "demo", "absent", change=change))
        steps = steps_for("absent", world.cluster)
        assert [(step.id, step.status) for step in steps] == [
            ("provision", "running"),
            ("load", "pending"),
        ]
        assert steps[0].description == "pool home:pool-a: its engine is built"


async def test_a_pool_without_a_model_is_worth_waiting_for(world_of: Worlds) -> None:
    told = Told()
    async with world_of(demand=told) as world:
        empty = world.snapshot("pool-a", slots=0, state=HealthState.STOPPED, model_id=None)
        world.report(loads(empty, "absent"))
        world.submit(model_ref="absent", determinism="best_effort")
        assert await told.next() == {"absent": 1}
