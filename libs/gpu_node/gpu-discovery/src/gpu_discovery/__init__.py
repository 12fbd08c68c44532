"""NVIDIA GPUs through NVML: inventory, memory, utilisation, errors."""

from gpu_discovery.changes import (
    CriticalErrorFound,
    DeviceAppeared,
    DeviceDisappeared,
    DeviceFaulted,
    ForeignMemoryFound,
    GpuChange,
    MemoryErrorsFound,
    changes,
)
from gpu_discovery.discovery import discover
from gpu_discovery.masks import DeviceMaskError, parse_mask, resolve_mask
from gpu_discovery.monitor import GpuMonitor
from gpu_discovery.policy import DevicePolicy, Verdict, check
from gpu_discovery.ports import Nvml, NvmlDevice, NvmlError
from gpu_discovery.types import GpuDevice, GpuFault, GpuInventory, GpuProcess, GpuReading, XidCount
from gpu_discovery.views import gpu_list, hardware
from gpu_discovery.xid import XidListener
from node_types import GpuInfo

__all__ = [
    "CriticalErrorFound",
    "DeviceAppeared",
    "DeviceDisappeared",
    "DeviceFaulted",
    "DeviceMaskError",
    "DevicePolicy",
    "ForeignMemoryFound",
    "GpuChange",
    "GpuDevice",
    "GpuFault",
    "GpuInfo",
    "GpuInventory",
    "GpuMonitor",
    "GpuProcess",
    "GpuReading",
    "MemoryErrorsFound",
    "Nvml",
    "NvmlDevice",
    "NvmlError",
    "Verdict",
    "XidCount",
    "XidListener",
    "changes",
    "check",
    "discover",
    "gpu_list",
    "hardware",
    "parse_mask",
    "resolve_mask",
]
