"""GPU pools on a driver made of data, with a fake llama-server in place of the engine."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from engine_provisioner.testing import fake_llama_server
from gpu_discovery import DevicePolicy, GpuMonitor, GpuProcess, discover
from gpu_discovery.testing import GIB, FakeNvml, fake_device
from local_pool_manager.records import MEMORY_FILE
from local_pool_manager.testing import FixedModels, small_pool, until, until_ready

TAKEN = 3 * GIB


class Machine:
    """Four different GPUs whose memory the fake engines seem to take."""

    def __init__(self) -> None:
        sizes = (48, 24, 24, 8)
        self.driver = FakeNvml([fake_device(n, total_bytes=s * GIB) for n, s in enumerate(sizes)])

    def occupy(self, number: int, *pids: int, taken: int = TAKEN) -> None:
        """Have processes hold memory of a device."""
        device = self.driver.devices[number]
        total = device.reading.total_bytes
        reading = replace(
            device.reading,
            used_bytes=taken * len(pids),
            free_bytes=total - taken * len(pids),
            processes=tuple(GpuProcess(pid, taken) for pid in pids),
        )
        self.driver.devices[number] = replace(device, reading=reading)


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def gpu_pools(pools, machine, tmp_path, models):
    executable = fake_llama_server(tmp_path, sees_gpu=True)

    def pool(**changes):
        provisioning = {"mode": "binary", "path": executable}
        return small_pool(**{"provisioning": provisioning, **changes})

    @asynccontextmanager
    async def running(**changes):
        async def heed(_: object) -> None: ...

        async def look():
            return discover(machine.driver)

        async with (
            GpuMonitor.running(20, heed, look=lambda: discover(machine.driver)) as gpus,
            pools(
                pool(**changes),
                models=FixedModels(models),
                gpus=lambda: gpus.inventory,
                look=look,
                device_policy=DevicePolicy.GPU,
            ) as manager,
        ):
            yield manager

    return running


async def test_a_pool_gets_the_devices_of_its_mask_and_reports_their_memory(gpu_pools, machine):
    async with gpu_pools(devices=("1", "3")) as manager:
        snapshot = await until_ready(manager)
        assert snapshot.vram_total_bytes == 32 * GIB
        uuids = [machine.driver.devices[number].uuid for number in (1, 3)]
        assert snapshot.device_mask == ",".join(uuids)


async def test_a_model_that_does_not_fit_is_refused_with_the_arithmetic(gpu_pools, machine):
    machine.occupy(3, 4242, taken=8 * GIB - (1 << 20))
    async with gpu_pools(devices=("3",)) as manager:
        told = await until(manager, "demo", lambda s: "does not fit" in (s.last_error or ""))
        assert not told.live
        for part in ("weights", "KV cache", "processes that are not ours", "1.0 MiB free"):
            assert part in told.last_error
        machine.occupy(3)
        await until_ready(manager)


async def test_what_an_engine_took_is_measured_and_remembered(gpu_pools, machine, tmp_path):
    async with gpu_pools(devices=("1",)) as manager:
        guardian = (await until_ready(manager)).replicas[0].pid
        # The memory is held by the server below it.
        (server,) = manager.engine_pids() - {guardian}
        machine.occupy(1, server)
        file = tmp_path / MEMORY_FILE
        async with asyncio.timeout(5):
            while not file.exists():
                await asyncio.sleep(0.02)
        assert str(TAKEN - (512 << 20)) in file.read_text()


async def test_a_reload_starts_beside_where_the_gpu_holds_both_and_waits_for_the_driver_else(
    gpu_pools, machine
):
    async with gpu_pools(devices=("1",)) as manager:
        guardian = (await until_ready(manager)).replicas[0].pid
        (old,) = manager.engine_pids() - {guardian}
        # All of the device is ours: the second engine has no room until the first one is gone.
        machine.occupy(1, old, taken=24 * GIB)
        await until(manager, "demo", lambda snapshot: snapshot.vram_free_bytes == 0)
        outcome = manager.reload("demo", "other")
        await until(manager, "demo", lambda snapshot: not snapshot.live)
        await asyncio.sleep(0.3)
        assert not outcome.done(), "the driver does not show the memory as free"
        machine.occupy(1)
        assert (await outcome).error is None
        assert manager.snapshot("demo").model_id == "other"


async def test_a_reload_that_cannot_fit_leaves_the_old_model_in_service(gpu_pools, machine):
    async with gpu_pools(devices=("3",)) as manager:
        pid = (await until_ready(manager)).replicas[0].pid
        machine.occupy(3, 4242, taken=8 * GIB)
        await until(manager, "demo", lambda snapshot: snapshot.vram_free_bytes == 0)
        outcome = await manager.reload("demo", "other")
        assert "does not fit" in outcome.error
        snapshot = manager.snapshot("demo")
        assert (snapshot.ready, snapshot.replicas[0].pid) == (True, pid)


async def test_a_lost_device_takes_its_pool_out_and_it_comes_back_with_the_device(
    gpu_pools, machine
):
    async with gpu_pools(devices=("1",)) as manager:
        pid = (await until_ready(manager)).replicas[0].pid
        kept, machine.driver.devices[1] = machine.driver.devices[1], "GPU is lost"
        told = await until(manager, "demo", lambda snapshot: not snapshot.ready)
        assert "GPU 1 (NVIDIA Test) is lost: GPU is lost" in told.last_error
        await until(manager, "demo", lambda snapshot: not snapshot.live)
        machine.driver.devices[1] = kept
        back = await until_ready(manager)
        assert back.replicas[0].pid != pid
        assert back.last_error is None


async def test_memory_errors_restart_the_engines_and_say_why(gpu_pools, machine):
    async with gpu_pools(devices=("1",)) as manager:
        pid = (await until_ready(manager)).replicas[0].pid
        machine.driver.devices[1] = fake_device(1, total_bytes=24 * GIB, ecc_errors=2)
        told = await until(manager, "demo", lambda snapshot: not snapshot.ready)
        assert "counted 2 uncorrected memory errors (ECC)" in told.last_error
        assert (await until_ready(manager)).replicas[0].pid != pid


async def test_a_fault_of_another_device_leaves_a_pool_alone(gpu_pools, machine):
    async with gpu_pools(devices=("1",)) as manager:
        pid = (await until_ready(manager)).replicas[0].pid
        machine.driver.devices[0] = "GPU is lost"
        await asyncio.sleep(0.6)
        snapshot = manager.snapshot("demo")
        assert (snapshot.ready, snapshot.replicas[0].pid) == (True, pid)
