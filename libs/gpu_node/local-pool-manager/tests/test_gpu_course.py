"""Changes of GPUs that are errors are counted by device and kind."""

from gpu_discovery import (
    CriticalErrorFound,
    DeviceAppeared,
    DeviceDisappeared,
    DeviceFaulted,
    ForeignMemoryFound,
    GpuInfo,
    MemoryErrorsFound,
)
from local_pool_manager import GpuCourse


class Recording:
    """Stands where the metrics would."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, int]] = []

    def gpu_failed(self, device: str, kind: str, count: int) -> None:
        self.told.append((device, kind, count))


async def test_errors_are_counted_and_other_news_are_not() -> None:
    seen, gpu = Recording(), GpuInfo(device_id=1, uuid="GPU-1", name="card", vram_total_bytes=1)
    for change in (
        DeviceAppeared(gpu),
        MemoryErrorsFound(gpu, new_errors=2),
        CriticalErrorFound(gpu, xid=79),
        ForeignMemoryFound(gpu, pid=4, used_bytes=None),
        DeviceDisappeared(gpu, "it has fallen off the bus"),
        DeviceFaulted(3, "it does not answer"),
    ):
        await GpuCourse(seen).tell(change)
    assert seen.told == [("1", "memory", 2), ("1", "xid", 1), ("1", "lost", 1), ("3", "failed", 1)]
