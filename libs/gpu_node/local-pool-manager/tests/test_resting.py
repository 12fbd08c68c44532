"""Pools whose engines were told to stop, until somebody asks for them."""

import asyncio

import pytest

from local_pool_manager import Demand, PoolBusy
from local_pool_manager.testing import FixedModels, small_pool, until, until_ready
from pool_registry_types import HealthState

OFFER = {"recital": "recital", "slow": "slow"}


async def test_a_pool_rests_until_preload_and_shows_meanwhile_what_it_would_load(pools, models):
    async with pools(small_pool(), models=FixedModels(models), loadable=lambda: OFFER) as manager:
        before = await until_ready(manager)
        assert (await manager.rest("demo", drain_ms=1_000)).error is None
        resting = await until(manager, "demo", lambda now: now.state is HealthState.STOPPED)
        assert (resting.model_id, resting.loadable_models) == (None, (before.model_id,))
        manager.preload("demo")
        after = await until_ready(manager)
        assert (after.model_id, after.loadable_models) == (before.model_id, ())
        assert after.replicas[0].generation == 2


async def test_a_task_that_waits_ends_a_rest(pools, models):
    async with pools(small_pool(), models=FixedModels(models)) as manager:
        await until_ready(manager)
        await manager.rest("demo", drain_ms=1_000)
        manager.demand("demo", {"recital": Demand(1, 0)})
        await until_ready(manager)


async def test_a_task_that_came_while_the_engines_stopped_is_not_forgotten(pools, models):
    async with pools(small_pool(), models=FixedModels(models)) as manager:
        await until_ready(manager)
        resting = manager.rest("demo", drain_ms=1_000)
        manager.demand("demo", {"recital": Demand(1, 0)})
        await resting
        manager.wake("demo")
        await until_ready(manager)


async def test_what_runs_may_end_first_and_is_revoked_at_the_deadline(pools, models, client):
    async with pools(small_pool(model_ref="slow"), models=FixedModels(models)) as manager:
        await until_ready(manager)
        flowing = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            stream = group.create_task(client(manager).task(on_token=flowing.set))
            await flowing.wait()
            resting = manager.rest("demo", drain_ms=30_000)
            with pytest.raises(PoolBusy):
                manager.rest("demo", drain_ms=0)
            await resting
        assert stream.result()[0] == "slow"
