"""The GPUs that this program may give to its pools."""

from collections.abc import Sequence
from dataclasses import replace

from gpu_discovery import DeviceMaskError, GpuInventory, resolve_mask


def masked(inventory: GpuInventory, mask: Sequence[str]) -> GpuInventory:
    """Return what an operator's mask leaves of an inventory; an empty mask leaves all."""
    if not mask or not inventory.devices:
        return inventory
    try:
        allowed = resolve_mask(",".join(mask), inventory.infos)
    except DeviceMaskError as error:
        return replace(inventory, devices=(), reason=f"ENGINE_PROVISIONER_GPU_MASK: {error}")
    devices = tuple(device for device in inventory.devices if device.info in allowed)
    return replace(inventory, devices=devices)
