import asyncio
import threading

import pytest

from gpu_discovery import DeviceAppeared, DeviceDisappeared, GpuChange, GpuMonitor, discover
from gpu_discovery.testing import FakeNvml, fake_device
from gpu_discovery.types import GpuInventory

WITHIN_S = 5


class Listener:
    def __init__(self) -> None:
        self._changes: asyncio.Queue[GpuChange] = asyncio.Queue()

    async def __call__(self, change: GpuChange) -> None:
        self._changes.put_nowait(change)

    async def next(self) -> GpuChange:
        async with asyncio.timeout(WITHIN_S):
            return await self._changes.get()


async def test_the_first_look_is_taken_on_entry_and_changes_follow_by_themselves() -> None:
    nvml, listener = FakeNvml([fake_device()]), Listener()
    async with GpuMonitor.running(5, listener, look=lambda: discover(nvml)) as monitor:
        assert isinstance(await listener.next(), DeviceAppeared)
        nvml.devices[0] = "GPU is lost"
        gone = await listener.next()
        assert isinstance(gone, DeviceDisappeared)
        assert gone.reason == "GPU is lost"
        assert monitor.inventory.faults


async def test_a_driver_that_hangs_is_a_reason_and_is_asked_once() -> None:
    release, asked = threading.Event(), []

    def hang() -> GpuInventory:
        asked.append(1)
        release.wait(WITHIN_S)
        return discover(FakeNvml([fake_device()]))

    listener = Listener()
    async with GpuMonitor.running(60_000, listener, look=hang, answer_timeout_ms=10) as monitor:
        assert monitor.inventory.reason == "NVML did not answer within 0.01 s"
        await monitor.look()
        assert len(asked) == 1
        release.set()
        async with asyncio.timeout(WITHIN_S):
            while not (await monitor.look()).devices:
                pass
        assert isinstance(await listener.next(), DeviceAppeared)


async def test_a_listener_that_raises_ends_the_monitor_loudly() -> None:
    nvml = FakeNvml([])

    async def fail(_change: GpuChange) -> None:
        raise RuntimeError("the pool manager is broken")

    async def watch() -> None:
        async with GpuMonitor.running(5, fail, look=lambda: discover(nvml)):
            nvml.devices.append(fake_device())
            async with asyncio.timeout(WITHIN_S):
                await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await watch()
    assert caught.group_contains(RuntimeError, match="pool manager is broken")
