from dataclasses import replace

from gpu_discovery import (
    CriticalErrorFound,
    DeviceAppeared,
    DeviceDisappeared,
    DeviceFaulted,
    ForeignMemoryFound,
    GpuDevice,
    GpuInventory,
    GpuProcess,
    MemoryErrorsFound,
    XidCount,
    changes,
    discover,
)
from gpu_discovery.ports import NvmlDevice
from gpu_discovery.testing import FakeNvml, fake_device

NOTHING = GpuInventory(reason="not looked yet")


def look(*devices: NvmlDevice | str) -> GpuInventory:
    return discover(FakeNvml(list(devices)))


def test_two_equal_looks_are_no_change() -> None:
    assert changes(look(fake_device()), look(fake_device())) == ()


def test_a_first_look_shows_all_devices() -> None:
    after = look(fake_device(0), fake_device(1))
    assert changes(NOTHING, after) == tuple(DeviceAppeared(info) for info in after.infos)


def test_a_lost_device_disappears_with_its_reason_and_appears_again() -> None:
    healthy, lost = look(fake_device(0), fake_device(1)), look(fake_device(0), "GPU is lost")
    assert changes(healthy, lost) == (DeviceDisappeared(healthy.infos[1], "GPU is lost"),)
    assert changes(lost, lost) == ()
    assert changes(lost, healthy) == (DeviceAppeared(healthy.infos[1]),)


def test_a_lost_driver_takes_all_devices_with_its_reason() -> None:
    healthy = look(fake_device())
    lost = discover(FakeNvml(open_error="driver not loaded"))
    assert changes(healthy, lost) == (DeviceDisappeared(healthy.infos[0], "driver not loaded"),)


def test_a_device_that_never_answered_is_told_once() -> None:
    faulty = look(fake_device(0), "GPU needs a reset")
    assert DeviceFaulted(1, "GPU needs a reset") in changes(NOTHING, faulty)
    assert changes(faulty, faulty) == ()


def test_new_memory_errors_are_counted_from_the_last_look() -> None:
    before, after = look(fake_device(ecc_errors=2)), look(fake_device(ecc_errors=5))
    assert changes(before, after) == (MemoryErrorsFound(after.infos[0], 3),)
    assert changes(after, look(fake_device(ecc_errors=0))) == ()
    assert changes(after, look(fake_device(ecc_errors=None))) == ()


def test_memory_of_a_process_that_is_not_ours_is_told_once() -> None:
    shared = look(fake_device(processes=(GpuProcess(1, 10), GpuProcess(2, 20))))
    found = changes(look(fake_device()), shared, own_pids={1})
    assert found == (ForeignMemoryFound(shared.infos[0], 2, 20),)
    assert changes(shared, shared, own_pids={1}) == ()


def test_each_critical_error_is_told_once() -> None:
    def told(count: int, xid: int) -> GpuInventory:
        (device,) = look(fake_device()).devices
        reading = replace(device.reading, xids=XidCount(count, xid))
        return GpuInventory(devices=(GpuDevice(device.info, reading),))

    healthy = look(fake_device())
    assert changes(healthy, told(1, 79)) == (CriticalErrorFound(healthy.infos[0], 79),)
    assert changes(told(1, 79), told(1, 79)) == ()
    assert changes(told(1, 79), told(2, 48)) == (CriticalErrorFound(healthy.infos[0], 48),)
