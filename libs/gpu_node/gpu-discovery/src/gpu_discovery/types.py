"""What is known about the GPUs of this machine."""

from dataclasses import dataclass

from node_types import GpuInfo


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a device."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class XidCount:
    """The critical errors that the driver has told of one device since we listen."""

    count: int = 0
    last: int = 0
    """The number of the last one in NVIDIA's catalogue (Xid)."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What changes from moment to moment; None is what this device does not tell."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    utilization_percent: int | None = None
    temperature_c: int | None = None
    ecc_errors: int | None = None
    """Uncorrected memory errors since the driver was loaded."""
    processes: tuple[GpuProcess, ...] = ()
    xids: XidCount = XidCount()


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """One device that answers."""

    info: GpuInfo
    reading: GpuReading


@dataclass(frozen=True, slots=True)
class GpuFault:
    """One device that is there and does not answer."""

    device_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """All of it at one moment; `reason` says in plain words why there is no device."""

    driver_version: str | None = None
    devices: tuple[GpuDevice, ...] = ()
    faults: tuple[GpuFault, ...] = ()
    reason: str | None = None

    @property
    def infos(self) -> tuple[GpuInfo, ...]:
        """The devices as they are reported to the control plane."""
        return tuple(device.info for device in self.devices)
