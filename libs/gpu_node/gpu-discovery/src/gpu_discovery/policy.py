"""Whether engines may be started on this machine."""

from dataclasses import dataclass
from enum import StrEnum

from gpu_discovery.types import GpuInventory


class DevicePolicy(StrEnum):
    """What inference runs on: a GPU, or, on development machines only, the CPU."""

    GPU = "gpu"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, with a sentence for start-up, capabilities and the pools' health."""

    allowed: bool
    message: str


def check(policy: DevicePolicy, inventory: GpuInventory) -> Verdict:
    """Apply the policy to what was found."""
    names = ", ".join(f"{info.device_id}: {info.name}" for info in inventory.infos)
    if policy is DevicePolicy.CPU:
        found = f"; not used: {names}" if names else ""
        return Verdict(
            allowed=True,
            message=f"CPU inference, for development only (device policy cpu){found}.",
        )
    if inventory.devices:
        driver = f" (driver {inventory.driver_version})" if inventory.driver_version else ""
        return Verdict(allowed=True, message=f"GPU {names}{driver}.")
    looked = "looked for NVIDIA GPUs through NVML"
    lost = "".join(f"; device {fault.device_id}: {fault.reason}" for fault in inventory.faults)
    return Verdict(
        allowed=False,
        message=(
            f"No usable GPU: {looked}: {inventory.reason or 'none found'}{lost}. Install the "
            "NVIDIA driver, or set LLORCH_DEVICE_POLICY=cpu on a development machine."
        ),
    )
