"""The port to NVIDIA's management library."""

from dataclasses import dataclass
from typing import Protocol

from gpu_discovery.types import GpuReading


class NvmlError(Exception):
    """The library, or one call into it, failed; the message says how in plain words."""


@dataclass(frozen=True, slots=True)
class NvmlDevice:
    """What the library tells about one device."""

    uuid: str
    name: str
    compute_capability: str | None
    reading: GpuReading


class Nvml(Protocol):
    """The calls that discovery needs; each blocks, and fails with NvmlError only."""

    def open(self) -> None:
        """Load the library and connect to the driver."""
        ...

    def driver_version(self) -> str:
        """Name the driver's version."""
        ...

    def device_count(self) -> int:
        """Tell how many devices the driver has, lost ones included."""
        ...

    def read(self, device_id: int) -> NvmlDevice:
        """Ask one device everything."""
        ...

    def close(self) -> None:
        """Undo `open`; called once for each `open` that succeeded."""
        ...
