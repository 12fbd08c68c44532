"""Whether the engines of a pool fit now, and when the memory of stopped ones is free again."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from gpu_discovery import GpuDevice, GpuInventory
from local_pool_manager.crew import Target
from local_pool_manager.memory import gib, rooms, shortage, used_by
from local_pool_manager.ports import Look
from pool_registry_types import GpuInfo

RAM_RESERVE_BYTES = 512 << 20
"""Left to the rest of the machine when two engines are to live side by side."""
POLL_S = 0.25


def ram_available_bytes() -> int:
    """Return what the kernel would give to programs without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0


class Room:
    """The memory that pools compete for: of their GPUs, or of the host under the cpu policy."""

    def __init__(
        self,
        gpus: Callable[[], GpuInventory],
        look: Look,
        ram_available: Callable[[], int] = ram_available_bytes,
    ) -> None:
        self._gpus = gpus
        self._look = look
        self._ram_available = ram_available

    def lacking(
        self,
        target: Target,
        infos: Sequence[GpuInfo],
        *,
        shares: Sequence[float],
        ours: Collection[int],
        returned: Collection[int] = (),
    ) -> str | None:
        """Return why the engines do not fit, None when they do.

        `ours` are the pids of our engines; the memory of `returned` is free before the load.
        """
        if not infos:
            return self._lacking_ram(target)
        devices = _devices(self._gpus(), infos)
        return shortage(
            target.need,
            rooms(devices, ours=ours),
            engines=len(target.plans),
            shares=shares,
            returned=used_by(devices, returned),
        )

    async def until_free(self, infos: Sequence[GpuInfo], pids: Collection[int]) -> None:
        """Wait until the driver shows no memory of these processes; the caller bounds it."""
        while infos:
            if not used_by(_devices(await self._look(), infos), pids):
                return
            await asyncio.sleep(POLL_S)

    def _lacking_ram(self, target: Target) -> str | None:
        wanted = len(target.plans) * target.need.total_bytes + RAM_RESERVE_BYTES
        free = self._ram_available()
        if wanted <= free:
            return None
        return f"it needs {gib(wanted)} of host memory ({target.need.story}), {gib(free)} are free"


def _devices(inventory: GpuInventory, infos: Sequence[GpuInfo]) -> tuple[GpuDevice, ...]:
    by_uuid = {device.info.uuid: device for device in inventory.devices}
    return tuple(by_uuid[info.uuid] for info in infos if info.uuid in by_uuid)
