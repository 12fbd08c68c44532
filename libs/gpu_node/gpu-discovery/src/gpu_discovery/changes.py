"""What happened to the GPUs between two looks."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import TypeAlias

from gpu_discovery.types import GpuDevice, GpuInventory
from node_types import GpuInfo


@dataclass(frozen=True, slots=True)
class DeviceAppeared:
    """A device answers that did not before."""

    info: GpuInfo


@dataclass(frozen=True, slots=True)
class DeviceDisappeared:
    """A device does not answer any more."""

    info: GpuInfo
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceFaulted:
    """A device that never answered fails, or fails in another way than before."""

    device_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class MemoryErrorsFound:
    """A device counted uncorrected memory errors."""

    info: GpuInfo
    new_errors: int


@dataclass(frozen=True, slots=True)
class CriticalErrorFound:
    """The driver told of an error (Xid) after which a device cannot be trusted."""

    info: GpuInfo
    xid: int


@dataclass(frozen=True, slots=True)
class ForeignMemoryFound:
    """A process that is none of ours took memory of a device."""

    info: GpuInfo
    pid: int
    used_bytes: int | None


GpuChange: TypeAlias = (
    DeviceAppeared
    | DeviceDisappeared
    | DeviceFaulted
    | MemoryErrorsFound
    | CriticalErrorFound
    | ForeignMemoryFound
)


def changes(
    before: GpuInventory, after: GpuInventory, own_pids: Set[int] = frozenset()
) -> tuple[GpuChange, ...]:
    """Compare two looks; devices are the same when their UUID is."""
    old = {device.info.uuid: device for device in before.devices}
    new = {device.info.uuid: device for device in after.devices}
    return (
        *_disappeared((device for uuid, device in old.items() if uuid not in new), after),
        *_faulted(before, after),
        *(DeviceAppeared(device.info) for uuid, device in new.items() if uuid not in old),
        *(
            change
            for uuid, device in new.items()
            for change in _on_device(old.get(uuid), device, own_pids)
        ),
    )


def _disappeared(gone: Iterable[GpuDevice], after: GpuInventory) -> Iterator[DeviceDisappeared]:
    reasons = {fault.device_id: fault.reason for fault in after.faults}
    for device in gone:
        reason = reasons.get(device.info.device_id) or after.reason
        yield DeviceDisappeared(device.info, reason or "the driver does not list it any more")


def _faulted(before: GpuInventory, after: GpuInventory) -> Iterator[DeviceFaulted]:
    answered = {device.info.device_id for device in before.devices}
    for fault in after.faults:
        if fault.device_id not in answered and fault not in before.faults:
            yield DeviceFaulted(fault.device_id, fault.reason)


def _on_device(
    before: GpuDevice | None, after: GpuDevice, own_pids: Set[int]
) -> Iterator[MemoryErrorsFound | CriticalErrorFound | ForeignMemoryFound]:
    counted = (before.reading.ecc_errors or 0) if before else 0
    if (new_errors := (after.reading.ecc_errors or 0) - counted) > 0:
        yield MemoryErrorsFound(after.info, new_errors)
    if after.reading.xids.count > (before.reading.xids.count if before else 0):
        yield CriticalErrorFound(after.info, after.reading.xids.last)
    known = {process.pid for process in before.reading.processes} if before else set()
    for process in after.reading.processes:
        if process.pid not in known and process.pid not in own_pids:
            yield ForeignMemoryFound(after.info, process.pid, process.used_bytes)
