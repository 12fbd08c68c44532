"""What a machine tells about its GPUs and the rest of its hardware."""

import os

from api_types import GpuList, GpuView
from gpu_discovery.policy import DevicePolicy, check
from gpu_discovery.types import GpuInventory
from node_types import NodeCapabilities


def gpu_list(inventory: GpuInventory, policy: DevicePolicy) -> GpuList:
    """Return the GPUs, or why there are none."""
    views = tuple(
        GpuView(
            **device.info.model_dump(),
            vram_used_bytes=device.reading.used_bytes,
            utilization_percent=device.reading.utilization_percent,
        )
        for device in inventory.devices
    )
    reason = None if views else check(policy, inventory).message
    return GpuList(gpus=views, device_policy=policy, reason=reason)


def hardware(inventory: GpuInventory) -> NodeCapabilities:
    """Return the hardware of this machine."""
    return NodeCapabilities(
        gpus=inventory.infos,
        cpu_cores=os.cpu_count() or 1,
        ram_total_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )
