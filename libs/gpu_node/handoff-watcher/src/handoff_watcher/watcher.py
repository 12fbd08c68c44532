"""The service: file events where the filesystem gives them, scanning in any case."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from handoff_watcher.events import HandoffEvent
from pool_registry_types import HandoffPayload, PoolId, ReplicaId

HandoffKey: TypeAlias = tuple[PoolId, ReplicaId]


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Where to look and how often; `auto_delete` moves what was handled to `adopted/`."""

    runtime_dir: Path
    interval_ms: int = 1000
    auto_delete: bool = False


class HandoffWatcher:
    """Tells a callback about every handoff file that appears, changes or vanishes."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls, settings: WatchSettings, on_event: Callable[[HandoffEvent], Awaitable[None]]
    ) -> AsyncIterator[Self]:
        """Watch as long as the context is open; on entry what is there has been told."""
        raise NotImplementedError
        yield

    async def rescan(self) -> None:
        """Scan now; returns when `on_event` has handled what was found."""
        raise NotImplementedError

    @property
    def handoffs(self) -> Mapping[HandoffKey, HandoffPayload]:
        """The handoffs that stand, by pool and replica."""
        raise NotImplementedError
