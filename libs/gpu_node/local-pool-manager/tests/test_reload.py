"""Changing the model of pools on real engines."""

import asyncio
import os
import signal

import pytest

from engine_provisioner import identify, read_handoff
from local_pool_manager import ChangeLimits, PoolBusy, PoolDraining, PoolNotOurs
from local_pool_manager.testing import FixedModels, small_pool, until, until_ready
from pool_registry_types import HealthState

SHORT = ChangeLimits(drain_ms=300, revoke_ms=300)
ROOMY, TIGHT = (lambda: 1 << 40), (lambda: 0)
"""RAM for two engines side by side, and RAM for one."""
either_way = pytest.mark.parametrize("ram", [ROOMY, TIGHT], ids=["beside", "one-after-the-other"])


async def generation_of(manager) -> int:
    return manager.snapshot("demo").replicas[0].generation


@either_way
async def test_a_reload_under_load_fails_no_lease_and_each_text_is_of_one_model(
    pools, models, client, said_by, ram
):
    async with pools(small_pool(), models=FixedModels(models), ram_available=ram) as manager:
        await until_ready(manager)
        tasks, told, changed = client(manager), [], asyncio.Event()

        async def keep_asking():
            while not (changed.is_set() and told and told[-1][0] == "other"):
                told.append(await tasks.task())

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(keep_asking())
            while len(told) < 3:
                await asyncio.sleep(0.005)
            outcome = await manager.reload("demo", "other")
            changed.set()
        assert outcome.error is None
        assert {name for name, _ in told} == {"recital", "other"}
        assert all(text == said_by(name) for name, text in told)
        snapshot = manager.snapshot("demo")
        assert (snapshot.model_id, snapshot.active_leases) == ("other", 0)
        assert snapshot.replicas[0].generation == 2
        assert snapshot.last_error is None


@either_way
async def test_a_reload_to_a_broken_file_rolls_back_while_streams_finish(
    pools, models, client, said_by, ram, tmp_path
):
    async with pools(
        small_pool(model_ref="slow"), models=FixedModels(models), ram_available=ram
    ) as manager:
        before = await until_ready(manager)
        flowing = asyncio.Event()
        tasks = client(manager)
        async with asyncio.TaskGroup() as group:
            stream = group.create_task(tasks.task(on_token=flowing.set))
            await flowing.wait()
            outcome = await manager.reload("demo", "broken")
        assert stream.result() == ("slow", said_by("slow"))
        assert outcome.model_ref == "slow"
        assert "not within the file bounds" in outcome.error
        after = await until_ready(manager)
        assert "'broken' was not loaded" in after.last_error
        assert "'slow' serves on" in after.last_error
        assert await tasks.task() == ("slow", said_by("slow"))
        kept = after.replicas[0].pid == before.replicas[0].pid
        assert kept is (ram is ROOMY)
        assert read_handoff(tmp_path, "demo", "r0").pid == after.replicas[0].pid


async def test_an_unknown_model_is_refused_without_touching_the_old_one(pools, models):
    async with pools(small_pool(), models=FixedModels(models), ram_available=TIGHT) as manager:
        before = await until_ready(manager)
        outcome = await manager.reload("demo", "nope")
        assert "no model 'nope'" in outcome.error
        after = manager.snapshot("demo")
        assert (after.ready, after.replicas[0].pid) == (True, before.replicas[0].pid)


async def test_a_second_reload_meanwhile_is_refused_and_one_after_it_is_not(pools, models):
    async with pools(small_pool(), models=FixedModels(models)) as manager:
        await until_ready(manager)
        first = manager.reload("demo", "other")
        with pytest.raises(PoolBusy):
            manager.reload("demo", "slow")
        assert (await first).model_ref == "other"
        assert (await manager.reload("demo", "recital")).error is None
        assert manager.snapshot("demo").model_id == "recital"
        assert await generation_of(manager) == 3


@either_way
async def test_at_the_deadline_a_stream_of_the_old_model_is_revoked(pools, models, ram):
    async with pools(
        small_pool(), models=FixedModels(models), ram_available=ram, change_limits=SHORT
    ) as manager:
        await until_ready(manager)
        revoked = asyncio.get_running_loop().create_future()
        lease = manager.acquire("demo", "r0", "a/1", on_revoked=revoked.set_result)
        old = manager.snapshot("demo").replicas[0].pid
        outcome = manager.reload("demo", "other")
        async with asyncio.timeout(10):
            assert "'other'" in await revoked
        manager.release(lease)
        assert (await outcome).error is None
        assert manager.snapshot("demo").slots_free == 2
        assert identify(old) is None


async def test_a_holder_that_never_lets_go_does_not_hold_up_the_reload(pools, models):
    async with pools(
        small_pool(), models=FixedModels(models), ram_available=TIGHT, change_limits=SHORT
    ) as manager:
        await until_ready(manager)
        lease = manager.acquire("demo", "r0", "a/1")
        assert (await manager.reload("demo", "other")).error is None
        manager.release(lease)
        assert manager.snapshot("demo").active_leases == 0


async def test_while_it_waits_for_streams_the_pool_takes_no_new_task_but_is_not_lost(pools, models):
    async with pools(small_pool(), models=FixedModels(models), ram_available=TIGHT) as manager:
        await until_ready(manager)
        lease = manager.acquire("demo", "r0", "a/1")
        outcome = manager.reload("demo", "other")
        seen = await until(manager, "demo", lambda snapshot: snapshot.slots_free == 0)
        assert (seen.ready, seen.draining) == (True, False)
        with pytest.raises(PoolDraining):
            manager.acquire("demo", "r0", "b/1")
        manager.release(lease)
        assert (await outcome).error is None


async def test_a_task_chosen_for_the_old_engine_gets_no_slot_of_the_new_one(pools, models):
    async with pools(small_pool(), models=FixedModels(models)) as manager:
        await until_ready(manager)
        await manager.reload("demo", "other")
        with pytest.raises(PoolDraining, match="another engine"):
            manager.acquire("demo", "r0", "a/1", generation=1)
        manager.acquire("demo", "r0", "a/1", generation=2)


async def test_all_replicas_change_together(pools, models):
    async with pools(small_pool(replicas=2), models=FixedModels(models)) as manager:
        await until(manager, "demo", lambda snapshot: snapshot.slots_free == 4)
        assert (await manager.reload("demo", "other")).error is None
        snapshot = manager.snapshot("demo")
        assert {replica.model_id for replica in snapshot.replicas} == {"other"}
        assert snapshot.slots_free == 4


async def test_after_a_restart_the_reloaded_model_serves_until_the_configuration_changes(
    pools, models
):
    source = FixedModels(models)
    async with pools(small_pool(), models=source) as manager:
        await until_ready(manager)
        await manager.reload("demo", "other")
    async with pools(small_pool(), models=source) as manager:
        assert (await until_ready(manager)).model_id == "other"
    async with pools(small_pool(model_ref="slow"), models=source) as manager:
        assert (await until_ready(manager)).model_id == "slow"


async def test_a_reloaded_engine_that_was_kept_is_adopted(pools, models):
    source = FixedModels(models)
    async with pools(small_pool(), models=source, keep_engines=True) as manager:
        await until_ready(manager)
        await manager.reload("demo", "other")
        kept = manager.snapshot("demo").replicas[0].pid
    assert identify(kept) is not None
    async with pools(small_pool(), models=source) as manager:
        snapshot = await until_ready(manager)
        assert (snapshot.replicas[0].pid, snapshot.model_id) == (kept, "other")
        await manager.reload("demo", "recital")
        assert identify(kept) is None
    os.waitpid(kept, 0)


async def test_the_reloaded_engine_is_supervised_like_the_first_one(pools, models):
    async with pools(small_pool(), models=FixedModels(models)) as manager:
        await until_ready(manager)
        await manager.reload("demo", "other")
        os.kill(manager.snapshot("demo").replicas[0].pid, signal.SIGKILL)
        await until(manager, "demo", lambda snapshot: not snapshot.ready)
        assert (await until_ready(manager)).model_id == "other"
        assert await generation_of(manager) == 3


async def test_a_pool_without_a_model_gets_one_by_a_reload(pools, models):
    async with pools(small_pool(model_ref=None), models=FixedModels(models)) as manager:
        assert manager.snapshot("demo").state is HealthState.STOPPED
        assert (await manager.reload("demo", "broken")).model_ref is None
        assert not manager.snapshot("demo").ready
        assert (await manager.reload("demo", "other")).error is None
        assert (await until_ready(manager)).model_id == "other"


async def test_a_reload_out_of_a_model_that_does_not_load_works(pools, models):
    async with pools(small_pool(model_ref="broken"), models=FixedModels(models)) as manager:
        await until(manager, "demo", lambda snapshot: snapshot.state is HealthState.FAILED)
        assert (await manager.reload("demo", "other")).error is None
        assert (await until_ready(manager)).last_error is None


async def test_the_owner_may_leave_in_the_middle_of_a_reload(pools, models):
    async with pools(small_pool(), models=FixedModels(models), ram_available=TIGHT) as manager:
        await until_ready(manager)
        outcome = manager.reload("demo", "slow")
        await until(manager, "demo", lambda snapshot: snapshot.model_id == "slow")
    assert outcome.cancelled()


async def test_the_model_of_foreign_engines_is_not_ours_to_change(pools, models):
    external = small_pool(model_ref=None, provisioning={"mode": "external"})
    async with pools(external, models=FixedModels(models)) as manager:
        with pytest.raises(PoolNotOurs):
            manager.reload("demo", "other")


@pytest.mark.engines
@either_way
async def test_a_reload_works_with_a_real_llama_server_too(pools, models, client, said_by, ram):
    named = os.environ.get("LLORCH_TEST_LLAMA_SERVER")
    if named is None:
        pytest.fail("LLORCH_TEST_LLAMA_SERVER names no llama-server")
    pool = small_pool(provisioning={"mode": "binary", "path": named})
    async with pools(pool, models=FixedModels(models), ram_available=ram) as manager:
        await until_ready(manager)
        tasks = client(manager)
        assert await tasks.task() == ("recital", said_by("recital"))
        assert (await manager.reload("demo", "other")).error is None
        assert await tasks.task() == ("other", said_by("other"))
        assert "not within the file bounds" in (await manager.reload("demo", "broken")).error
        await until_ready(manager)
        assert await tasks.task() == ("other", said_by("other"))
