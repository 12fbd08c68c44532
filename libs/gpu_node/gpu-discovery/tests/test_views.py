"""What the API shows of the GPUs and of the machine."""

import pytest

from gpu_discovery import (
    DevicePolicy,
    GpuDevice,
    GpuInfo,
    GpuInventory,
    GpuReading,
    check,
    gpu_list,
    hardware,
)

INFO = GpuInfo(device_id=0, uuid="GPU-0", name="card", vram_total_bytes=80)


@pytest.fixture
def inventory() -> GpuInventory:
    return GpuInventory(devices=(GpuDevice(INFO, GpuReading(80, 30, 50, 7)),))


def test_a_gpu_is_shown_with_its_last_reading(inventory: GpuInventory) -> None:
    told = gpu_list(inventory, DevicePolicy.GPU)
    (gpu,) = told.gpus
    assert (gpu.uuid, gpu.vram_used_bytes, gpu.utilization_percent) == ("GPU-0", 30, 7)
    assert told.reason is None


def test_where_there_is_none_the_reason_is_that_of_the_policy() -> None:
    inventory = GpuInventory(reason="no driver")
    told = gpu_list(inventory, DevicePolicy.CPU)
    assert told.gpus == ()
    assert told.reason == check(DevicePolicy.CPU, inventory).message


def test_the_hardware_is_the_gpus_and_what_the_system_tells(inventory: GpuInventory) -> None:
    told = hardware(inventory)
    assert told.gpus == (INFO,)
    assert told.cpu_cores >= 1
    assert told.ram_total_bytes > 0
