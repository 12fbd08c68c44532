import pytest

from gpu_discovery import DevicePolicy, GpuFault, GpuInventory, check, discover
from gpu_discovery.testing import FakeNvml, fake_device


def test_healthy_devices_are_listed_with_their_readings() -> None:
    nvml = FakeNvml([fake_device(0, name="A", used_bytes=7), fake_device(1)])
    inventory = discover(nvml)
    assert [info.device_id for info in inventory.infos] == [0, 1]
    assert inventory.devices[0].reading.used_bytes == 7
    assert (inventory.driver_version, inventory.reason) == ("999.01", None)
    assert nvml.opened == 0


def test_an_absent_driver_is_an_inventory_with_the_reason() -> None:
    inventory = discover(FakeNvml(open_error="libnvidia-ml.so.1 not found: no such file"))
    assert inventory == GpuInventory(reason="libnvidia-ml.so.1 not found: no such file")


def test_a_lost_device_leaves_the_others() -> None:
    nvml = FakeNvml([fake_device(0), "GPU is lost", fake_device(2)])
    inventory = discover(nvml)
    assert [info.device_id for info in inventory.infos] == [0, 2]
    assert inventory.faults == (GpuFault(1, "GPU is lost"),)
    assert inventory.reason is None


def test_when_all_devices_are_lost_the_inventory_says_so() -> None:
    inventory = discover(FakeNvml(["GPU is lost"]))
    assert (inventory.devices, inventory.reason) == ((), "none of the driver's GPUs answers")


def test_a_device_without_a_name_is_a_fault_not_an_exception() -> None:
    inventory = discover(FakeNvml([fake_device(name="")]))
    assert "name" in inventory.faults[0].reason


def test_the_default_binding_never_raises_whatever_this_machine_has() -> None:
    inventory = discover()
    assert inventory.devices or inventory.reason


def test_the_gpu_policy_allows_a_machine_with_a_gpu_and_names_it() -> None:
    verdict = check(DevicePolicy.GPU, discover(FakeNvml([fake_device(name="NVIDIA H200")])))
    assert verdict.allowed
    assert verdict.message == "GPU 0: NVIDIA H200 (driver 999.01)."


@pytest.mark.parametrize(
    ("nvml", "found"),
    [
        (FakeNvml(open_error="driver not loaded"), "through NVML: driver not loaded."),
        (FakeNvml([]), "the driver lists no GPU"),
        (FakeNvml(["GPU is lost"]), "device 0: GPU is lost"),
    ],
)
def test_the_gpu_policy_refuses_a_machine_without_and_says_what_was_looked_for(
    nvml: FakeNvml, found: str
) -> None:
    verdict = check(DevicePolicy.GPU, discover(nvml))
    assert not verdict.allowed
    assert found in verdict.message
    assert "LLORCH_DEVICE_POLICY=cpu" in verdict.message


def test_the_cpu_policy_says_that_it_is_for_development() -> None:
    verdict = check(DevicePolicy.CPU, discover(FakeNvml([fake_device(name="NVIDIA H200")])))
    assert verdict.allowed
    assert "development only" in verdict.message
    assert "not used: 0: NVIDIA H200" in verdict.message
