"""Tells and counts what becomes of the GPUs of this machine."""

from gpu_discovery import (
    CriticalErrorFound,
    DeviceDisappeared,
    DeviceFaulted,
    GpuChange,
    MemoryErrorsFound,
)
from local_pool_manager.ports import GpuObserver
from narration_core import get_logger


class GpuCourse:
    """Hears of each change; `tell` is what to give to a `GpuMonitor`."""

    def __init__(self, observer: GpuObserver) -> None:
        self._observer = observer
        self._log = get_logger(component="gpus")

    async def tell(self, change: GpuChange) -> None:
        """Log a change, and count it if it is an error."""
        self._log.warning("gpu_changed", detail=repr(change))
        failed = self._observer.gpu_failed
        match change:
            case DeviceDisappeared(info=info):
                failed(str(info.device_id), "lost", 1)
            case DeviceFaulted(device_id=device_id):
                failed(str(device_id), "failed", 1)
            case MemoryErrorsFound(info=info, new_errors=count):
                failed(str(info.device_id), "memory", count)
            case CriticalErrorFound(info=info):
                failed(str(info.device_id), "xid", 1)
