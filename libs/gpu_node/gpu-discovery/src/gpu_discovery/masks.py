"""Device masks: which GPUs an engine may see, as CUDA_VISIBLE_DEVICES writes it."""

from collections.abc import Sequence

from node_types import GpuInfo

UUID_PREFIX = "GPU-"


class DeviceMaskError(ValueError):
    """The mask is not one, or names a device that is not there; the message names the entry."""


def parse_mask(text: str) -> tuple[str, ...]:
    """Split `0,1` or `GPU-…,GPU-…` into its entries."""
    entries = tuple(entry.strip() for entry in text.split(","))
    for position, entry in enumerate(entries):
        is_index = entry.isascii() and entry.isdigit()
        is_uuid = entry.startswith(UUID_PREFIX) and len(entry) > len(UUID_PREFIX)
        if not is_index and not is_uuid:
            raise DeviceMaskError(
                f"{entry!r} in the device mask {text!r} is neither a number nor a GPU-… UUID."
            )
        if entry in entries[:position]:
            raise DeviceMaskError(f"{entry!r} stands twice in the device mask {text!r}.")
    return entries


def resolve_mask(text: str, gpus: Sequence[GpuInfo]) -> tuple[GpuInfo, ...]:
    """Find the devices of a mask, in its order; a UUID may be shortened while it is unique."""
    chosen: list[GpuInfo] = []
    for entry in parse_mask(text):
        found = [gpu for gpu in gpus if _names(entry, gpu)]
        if len(found) != 1:
            there = ", ".join(f"{gpu.device_id} ({gpu.uuid})" for gpu in gpus) or "none"
            problem = "names several devices" if found else "names no device"
            raise DeviceMaskError(f"{entry!r} {problem} of this machine; there are: {there}.")
        if found[0] in chosen:
            raise DeviceMaskError(f"{entry!r} names device {found[0].device_id} a second time.")
        chosen.append(found[0])
    return tuple(chosen)


def _names(entry: str, gpu: GpuInfo) -> bool:
    if entry.startswith(UUID_PREFIX):
        return gpu.uuid.startswith(entry)
    return gpu.device_id == int(entry)
