"""A driver made of data."""

from dataclasses import dataclass, field

from gpu_discovery.ports import NvmlDevice, NvmlError
from gpu_discovery.types import GpuProcess, GpuReading

GIB = 1024**3


def fake_device(
    number: int = 0,
    *,
    name: str = "NVIDIA Test",
    total_bytes: int = 24 * GIB,
    used_bytes: int = 0,
    ecc_errors: int | None = 0,
    processes: tuple[GpuProcess, ...] = (),
) -> NvmlDevice:
    """Make a healthy device with a UUID of its own."""
    return NvmlDevice(
        uuid=f"GPU-00000000-0000-0000-0000-{number:012d}",
        name=name,
        compute_capability="9.0",
        reading=GpuReading(
            total_bytes=total_bytes,
            used_bytes=used_bytes,
            free_bytes=total_bytes - used_bytes,
            utilization_percent=0,
            temperature_c=40,
            ecc_errors=ecc_errors,
            processes=processes,
        ),
    )


@dataclass(slots=True)
class FakeNvml:
    """A driver whose devices can be changed at any time; a string in their place is a failure."""

    devices: list[NvmlDevice | str] = field(default_factory=list)
    open_error: str | None = None
    version: str = "999.01"
    opened: int = 0

    def open(self) -> None:
        """See `Nvml.open`."""
        if self.open_error is not None:
            raise NvmlError(self.open_error)
        self.opened += 1

    def driver_version(self) -> str:
        """See `Nvml.driver_version`."""
        return self.version

    def device_count(self) -> int:
        """See `Nvml.device_count`."""
        return len(self.devices)

    def read(self, device_id: int) -> NvmlDevice:
        """See `Nvml.read`."""
        device = self.devices[device_id]
        if isinstance(device, str):
            raise NvmlError(device)
        return device

    def close(self) -> None:
        """See `Nvml.close`."""
        self.opened -= 1
