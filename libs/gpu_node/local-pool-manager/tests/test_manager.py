"""Pools on real engines."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from engine_provisioner import (
    handoff_path,
    identify,
    read_handoff,
    remove_handoff,
    write_handoff,
)
from gpu_discovery import DevicePolicy, discover
from gpu_discovery.testing import FakeNvml, fake_device
from local_pool_manager import (
    LeaseError,
    PoolDraining,
    PoolNotFound,
    ReplicaBusy,
    ReplicaNotReady,
)
from local_pool_manager.testing import FixedModels, small_pool, until, until_ready
from pool_registry_types import HealthState

CRASHING_PARENT = """
import asyncio, sys
from pathlib import Path
from gpu_discovery import DevicePolicy, discover
from gpu_discovery.testing import FakeNvml, fake_device
from local_pool_manager import LocalPoolManager
from local_pool_manager.testing import NO_GPU, FixedModels, entry_of, small_pool, until_ready

async def main(runtime_dir, model, auto_delete):
    async with LocalPoolManager.running(
        [small_pool()],
        runtime_dir=runtime_dir,
        models=FixedModels({"recital": entry_of(model, "recital")}),
        gpus=lambda: NO_GPU,
        device_policy=DevicePolicy.CPU,
        auto_delete_handoff=auto_delete,
    ) as manager:
        await until_ready(manager)
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "True"))
"""


@pytest.fixture(params=[False, True], ids=["handoffs-stay", "handoffs-put-away"])
def crashed(request, model, tmp_path):
    """Run a manager in another process until its pool is ready, and kill that process."""
    args = [str(tmp_path), str(model.path), str(request.param)]
    with subprocess.Popen(
        [sys.executable, "-c", CRASHING_PARENT, *args], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
    payload = read_handoff(tmp_path, "demo", "r0")
    assert identify(payload.pid) is not None
    yield payload
    with suppress(ProcessLookupError):
        os.kill(payload.pid, signal.SIGKILL)


async def test_a_pool_becomes_ready_and_ends_without_a_trace(pools, tmp_path, model):
    async with pools(small_pool()) as manager:
        snapshot = await until_ready(manager)
        assert (snapshot.slots_total, snapshot.slots_free) == (2, 2)
        assert (snapshot.state, snapshot.device_mask) == (HealthState.READY, "cpu")
        replica = snapshot.replicas[0]
        assert (replica.model_id, replica.model_digest) == ("recital", model.digest)
        endpoint = manager.endpoint("demo", "r0")
        assert (endpoint.generation, endpoint.ctx_max) == (1, 512)
        assert endpoint.engine_key
    assert identify(replica.pid) is None
    assert not handoff_path(tmp_path, "demo", "r0").exists()


async def test_slots_are_leased_once_and_only_while_there_are_some(pools):
    async with pools(small_pool()) as manager:
        await until_ready(manager)
        first = manager.acquire("demo", "r0", "a/1")
        second = manager.acquire("demo", "r0", "b/1")
        assert {first.slot, second.slot} == {0, 1}
        assert manager.snapshot("demo").slots_free == 0
        assert manager.snapshot("demo").active_leases == 2
        with pytest.raises(ReplicaBusy):
            manager.acquire("demo", "r0", "c/1")
        manager.release(first)
        with pytest.raises(LeaseError):
            manager.release(first)
        assert manager.snapshot("demo").slots_free == 1


async def test_a_killed_engine_is_not_ready_and_comes_back_with_fresh_slots(pools):
    async with pools(small_pool()) as manager:
        before = await until_ready(manager)
        lease = manager.acquire("demo", "r0", "a/1")
        os.kill(before.replicas[0].pid, signal.SIGKILL)
        lost = await until(manager, "demo", lambda snapshot: not snapshot.ready)
        assert (lost.slots_free, lost.slots_total, lost.model_id) == (0, 2, "recital")
        assert "SIGKILL" in lost.last_error
        with pytest.raises(ReplicaNotReady, match="SIGKILL"):
            manager.acquire("demo", "r0", "b/1")
        after = await until_ready(manager)
        assert after.replicas[0].generation == 2
        assert after.slots_free == 2
        manager.release(lease)
        assert manager.snapshot("demo").slots_free == 2
        with pytest.raises(LeaseError):
            manager.release(lease)


async def test_a_hanging_engine_is_not_ready_and_is_replaced(pools):
    async with pools(small_pool(), probe_timeout_s=0.5) as manager:
        before = await until_ready(manager)
        os.kill(before.replicas[0].pid, signal.SIGSTOP)
        await until(manager, "demo", lambda snapshot: not snapshot.ready)
        after = await until_ready(manager)
        assert after.replicas[0].pid != before.replicas[0].pid


async def test_a_drained_pool_takes_nothing_new_until_it_is_resumed_even_after_a_restart(pools):
    async with pools(small_pool()) as manager:
        await until_ready(manager)
        manager.drain("demo", 60_000)
        with pytest.raises(PoolDraining):
            manager.acquire("demo", "r0", "a/1")
        assert manager.snapshot("demo").state is HealthState.DRAINING
    async with pools(small_pool()) as manager:
        await until(manager, "demo", lambda snapshot: snapshot.state is HealthState.DRAINING)
        with pytest.raises(PoolDraining):
            manager.acquire("demo", "r0", "a/1")
        manager.resume("demo")
        manager.acquire("demo", "r0", "a/1")
    async with pools(small_pool()) as manager:
        assert not manager.snapshot("demo").draining


async def test_at_the_deadline_of_a_drain_running_leases_are_revoked(pools):
    async with pools(small_pool()) as manager:
        await until_ready(manager)
        revoked = asyncio.get_running_loop().create_future()
        lease = manager.acquire("demo", "r0", "a/1", on_revoked=revoked.set_result)
        manager.drain("demo", 10)
        async with asyncio.timeout(5):
            assert "deadline" in await revoked
        assert manager.snapshot("demo").active_leases == 1
        manager.release(lease)
        assert manager.snapshot("demo").active_leases == 0


async def test_without_a_gpu_the_gpu_policy_starts_nothing_and_says_what_was_looked_for(
    pools, tmp_path
):
    async with pools(small_pool(), device_policy=DevicePolicy.GPU) as manager:
        snapshot = await until(
            manager, "demo", lambda snapshot: snapshot.state is HealthState.FAILED
        )
        assert "libnvidia-ml" in snapshot.last_error
        assert not snapshot.live
        with pytest.raises(ReplicaNotReady, match="NVIDIA"):
            manager.acquire("demo", "r0", "a/1")
    assert not list(tmp_path.glob("*.json"))


async def test_a_missing_model_fails_its_pool_with_the_reason_and_leaves_others_alone(pools, model):
    models = FixedModels({"recital": model, "gone": OSError("model file /gone: no such file")})
    async with pools(
        small_pool(), small_pool(id="other", model_ref="gone"), models=models
    ) as manager:
        await until_ready(manager)
        failed = await until(
            manager, "other", lambda snapshot: snapshot.state is HealthState.FAILED
        )
        assert failed.last_error == "model file /gone: no such file"


async def test_a_model_that_comes_later_is_found_by_the_next_try(pools, model):
    models = FixedModels({})
    async with pools(small_pool(), models=models) as manager:
        await until(manager, "demo", lambda snapshot: snapshot.state is HealthState.FAILED)
        models.models["recital"] = model
        assert (await until_ready(manager)).last_error is None


async def test_on_a_gpu_machine_without_an_engine_for_it_all_ways_are_named(pools):
    inventory = discover(FakeNvml([fake_device()]))
    gpu = {"gpus": lambda: inventory, "device_policy": DevicePolicy.GPU}
    async with pools(small_pool(), **gpu) as manager:
        failed = await until(
            manager, "demo", lambda snapshot: "nvcc" in (snapshot.last_error or "")
        )
        assert failed.vram_total_bytes == inventory.infos[0].vram_total_bytes
        assert not failed.live


async def test_a_broken_model_fails_its_pool_with_the_engines_own_reason(pools, model, tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(model.path.read_bytes()[:-500_000])
    broken = model.model_copy(update={"path": path})
    async with pools(small_pool(), models=FixedModels({"recital": broken})) as manager:
        failed = await until(manager, "demo", lambda snapshot: snapshot.state is HealthState.FAILED)
        assert "not within the file bounds" in failed.last_error


async def test_a_slow_source_of_models_does_not_hold_up_other_pools(pools, model):
    class Stuck(FixedModels):
        async def ensure(self, reference):
            if reference == "stuck":
                await asyncio.Event().wait()
            return await super().ensure(reference)

    models = Stuck({"recital": model})
    async with pools(
        small_pool(id="slow", model_ref="stuck"), small_pool(), models=models
    ) as manager:
        await until_ready(manager)
        assert manager.snapshot("slow").state is HealthState.LOADING


async def test_a_pool_without_preload_waits_for_its_first_wish(pools):
    async with pools(small_pool(preload=False)) as manager:
        assert manager.snapshot("demo").state is HealthState.STOPPED
        manager.preload("demo")
        await until_ready(manager)


async def test_replicas_of_a_pool_are_engines_of_their_own(pools):
    async with pools(small_pool(replicas=2)) as manager:
        snapshot = await until(manager, "demo", lambda snapshot: snapshot.slots_free == 4)
        assert len({replica.pid for replica in snapshot.replicas}) == 2


async def test_an_unknown_pool_or_replica_is_told_with_those_that_there_are(pools):
    async with pools(small_pool()) as manager:
        with pytest.raises(PoolNotFound, match="there are: demo"):
            manager.snapshot("nope")
        with pytest.raises(PoolNotFound, match="there are: r0"):
            manager.acquire("demo", "r9", "a/1")


async def test_after_a_crash_the_living_engine_is_adopted_without_loading_again(
    crashed, pools, tmp_path
):
    async with pools(small_pool()) as manager:
        snapshot = await until_ready(manager)
        assert snapshot.replicas[0].pid == crashed.pid
        assert manager.endpoint("demo", "r0").engine_key == crashed.engine_key
        manager.release(manager.acquire("demo", "r0", "a/1"))
    assert identify(crashed.pid) is None
    assert read_handoff(tmp_path, "demo", "r0") is None


async def test_after_a_crash_and_a_change_of_configuration_the_engine_is_replaced(crashed, pools):
    async with pools(small_pool(slots=3)) as manager:
        snapshot = await until_ready(manager)
        assert snapshot.replicas[0].pid != crashed.pid
        assert snapshot.slots_total == 3
        assert identify(crashed.pid) is None


async def test_after_a_crash_the_engine_of_a_pool_that_is_gone_is_stopped(crashed, pools):
    async with pools(small_pool(id="other")) as manager:
        assert identify(crashed.pid) is None
        await until_ready(manager, "other")
        with pytest.raises(PoolNotFound):
            manager.snapshot("demo")


async def test_engines_are_kept_when_that_is_wished(pools):
    async with pools(small_pool(), keep_engines=True) as manager:
        first = (await until_ready(manager)).replicas[0].pid
    assert identify(first) is not None
    async with pools(small_pool()) as manager:
        assert (await until_ready(manager)).replicas[0].pid == first
    os.waitpid(first, 0)


async def test_the_engine_of_somebody_else_serves_through_its_handoff_and_is_never_stopped(
    pools, tmp_path
):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    async with pools(small_pool(), runtime_dir=theirs) as owner:
        await until_ready(owner)
        payload = read_handoff(theirs, "demo", "r0")
        foreign = payload.model_copy(update={"pool_id": "guest", "replica_id": "x"})
        async with pools(runtime_dir=ours) as manager:
            write_handoff(ours, foreign)
            snapshot = await until_ready(manager, "guest")
            assert snapshot.replicas[0].pid == payload.pid
            lease = manager.acquire("guest", "x", "a/1")
            assert manager.endpoint("guest", "x").url == payload.url

            remove_handoff(ours, "guest", "x")
            gone = await until(manager, "guest", lambda snapshot: not snapshot.ready)
            assert "removed by somebody else" in gone.last_error

            write_handoff(ours, foreign)
            again = await until_ready(manager, "guest")
            # The same process: the task that held a slot of it still does.
            assert (again.replicas[0].generation, again.slots_free) == (1, 1)
            manager.release(lease)
        assert identify(payload.pid) is not None
        async with pools(runtime_dir=ours) as manager:
            await until_ready(manager, "guest")
            os.kill(payload.pid, signal.SIGKILL)
            dead = await until(manager, "guest", lambda snapshot: not snapshot.ready)
            assert dead.last_error == f"process {payload.pid} has ended"


async def test_a_handoff_for_another_model_than_the_engine_serves_makes_no_replica_ready(
    pools, tmp_path
):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    async with pools(small_pool(), runtime_dir=theirs) as owner:
        await until_ready(owner)
        payload = read_handoff(theirs, "demo", "r0")
        other = payload.model.model_copy(update={"id": "other"})
        async with pools(runtime_dir=ours) as manager:
            write_handoff(ours, payload.model_copy(update={"pool_id": "guest", "model": other}))
            told = await until(manager, "guest", lambda snapshot: snapshot.last_error is not None)
            assert "does not serve other" in told.last_error
            assert not told.ready


async def test_a_removed_handoff_makes_our_own_replica_not_ready(pools, tmp_path):
    async with pools(small_pool()) as manager:
        await until_ready(manager)
        handoff_path(tmp_path, "demo", "r0").unlink()
        gone = await until(manager, "demo", lambda snapshot: not snapshot.ready)
        assert "removed by somebody else" in gone.last_error


async def test_cancelling_the_owner_stops_all_engines(pools):
    pids = []

    async def own():
        async with pools(small_pool()) as manager:
            pids.append((await until_ready(manager)).replicas[0].pid)
            await asyncio.Event().wait()

    owner = asyncio.create_task(own())
    while not pids:
        await asyncio.sleep(0.01)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert identify(pids[0]) is None
