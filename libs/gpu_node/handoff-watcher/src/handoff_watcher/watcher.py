"""The service: file events where the filesystem gives them, scanning in any case."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from watchfiles import Change, awatch

from handoff_watcher.core import FileEvent, HandoffKey, WatchState, observe, to_adopt
from handoff_watcher.events import HandoffAppeared, HandoffChanged, HandoffEvent, WatchTrouble
from handoff_watcher.folder import SUFFIX, FolderScan, HandoffFolder
from handoff_watcher.process import HostIdentity, check_pid, read_host_identity
from pool_registry_types import HandoffPayload

DEBOUNCE_MS = 50
# A thread wakes at each step and wants the interpreter for it. With steps of 10 ms a file is seen
# 80 ms sooner, and each token of a relay costs a tenth more.
STEP_MS = 50
SETUP_S = 0.1
# Whatever the configured interval: a handoff is seen within two seconds.
MAX_INTERVAL_MS = 1500
MIN_INTERVAL_MS = 10


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Where to look and how often; `auto_delete` moves what was handled to `adopted/`."""

    runtime_dir: Path
    interval_ms: int = 1000
    auto_delete: bool = False


class HandoffWatcher:
    """Tells a callback about every handoff that appears, changes or vanishes.

    The callback is awaited event by event, and no scan happens meanwhile: it should be quick
    and must not call `rescan`. What it raises ends the watcher. Made by `running`.
    """

    def __init__(
        self, settings: WatchSettings, on_event: Callable[[HandoffEvent], Awaitable[None]]
    ) -> None:
        self._auto_delete = settings.auto_delete
        self._interval_s = max(MIN_INTERVAL_MS, min(settings.interval_ms, MAX_INTERVAL_MS)) / 1000
        self._on_event = on_event
        self._folder = HandoffFolder(settings.runtime_dir)
        self._host = HostIdentity(None, None)
        self._state = WatchState()
        # Kept apart, so that a caller of `rescan` who is cancelled takes no event with them.
        self._untold: deque[FileEvent] = deque()
        self._single = asyncio.Lock()
        self._wake = asyncio.Event()
        self._folder_identity: tuple[int, int] | None = None
        self._folder_changed = asyncio.Event()
        self._troubles: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def running(
        cls, settings: WatchSettings, on_event: Callable[[HandoffEvent], Awaitable[None]]
    ) -> AsyncIterator[Self]:
        """Watch as long as the context is open; on entry what is there has been told."""
        watcher = cls(settings, on_event)
        watcher._host = read_host_identity()
        await watcher.rescan()
        async with asyncio.TaskGroup() as tasks:
            loops = (
                tasks.create_task(watcher._keep_scanning(), name="handoff-scan"),
                tasks.create_task(watcher._follow_file_events(), name="handoff-file-events"),
            )
            try:
                yield watcher
            finally:
                for loop in loops:
                    loop.cancel()

    @property
    def handoffs(self) -> Mapping[HandoffKey, HandoffPayload]:
        """The handoffs that stand, by pool and replica."""
        return {key: standing.payload for key, standing in self._state.standing.items()}

    async def rescan(self) -> None:
        """Scan now; returns when the callback has handled what was found."""
        async with self._single:
            try:
                scan, state, events = await asyncio.to_thread(self._look)
            except OSError as error:
                await self._tell_trouble("scan", f"The runtime folder cannot be read: {error}.")
                return
            self._troubles.discard("scan")
            self._state = state
            self._untold.extend(events)
            while self._untold:
                await self._on_event(self._untold[0])
                self._untold.popleft()
            if scan.folder != self._folder_identity:
                self._folder_identity = scan.folder
                self._folder_changed.set()
            if self._auto_delete and (moves := to_adopt(state)):
                await self._adopt(moves)

    def _look(self) -> tuple[FolderScan, WatchState, tuple[FileEvent, ...]]:
        scan = self._folder.scan(time.time_ns())
        state, events = observe(self._state, scan.files)
        return scan, state, tuple(self._with_pid(event) for event in events)

    def _with_pid(self, event: FileEvent) -> FileEvent:
        if isinstance(event, HandoffAppeared | HandoffChanged):
            return replace(event, pid=check_pid(event.payload, self._host))
        return event

    async def _adopt(self, moves: tuple[tuple[str, str], ...]) -> None:
        try:
            await asyncio.to_thread(self._folder.adopt, moves)
        except OSError as error:
            await self._tell_trouble("adopt", f"Handoff files cannot be moved: {error}.")
        else:
            self._troubles.discard("adopt")

    async def _keep_scanning(self) -> None:
        while True:
            await _set_or_elapsed(self._wake, self._interval_s)
            self._wake.clear()
            await self.rescan()

    async def _follow_file_events(self) -> None:
        """Turn file events into scans; begins anew with each folder that stands under the path."""
        while True:
            self._folder_changed.clear()
            if self._folder_identity is None:
                await self._folder_changed.wait()
                continue
            try:
                await self._follow_folder()
            except FileNotFoundError:
                await _set_or_elapsed(self._folder_changed, self._interval_s)
            except OSError as error:
                await self._tell_trouble("events", f"No file events, scanning instead: {error}.")
                await _set_or_elapsed(self._folder_changed, MAX_INTERVAL_MS / 1000)

    async def _follow_folder(self) -> None:
        """Return when the folder was deleted or another one stands in its place."""
        path = str(self._folder.directory)

        def matters(change: Change, name: str) -> bool:
            return name.endswith(SUFFIX) or (name == path and change is Change.deleted)

        changes = awatch(
            self._folder.directory,
            watch_filter=matters,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=self._folder_changed,
            recursive=False,
            force_polling=False,
        )
        # What comes while the kernel's watch is being set up gives no event: look soon once more.
        asyncio.get_running_loop().call_later(SETUP_S, self._wake.set)
        async with contextlib.aclosing(changes):
            async for found in changes:
                self._troubles.discard("events")
                self._wake.set()
                if (Change.deleted, path) in found:
                    return

    async def _tell_trouble(self, kind: str, reason: str) -> None:
        if kind not in self._troubles:
            self._troubles.add(kind)
            await self._on_event(WatchTrouble(reason))


async def _set_or_elapsed(event: asyncio.Event, seconds: float) -> None:
    """Wait for either. `asyncio.wait_for` would do, but Python 3.11's can swallow a cancel."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
