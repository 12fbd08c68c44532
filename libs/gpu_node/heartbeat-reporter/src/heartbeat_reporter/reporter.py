"""The service: one loop for each control plane, so that none waits for another."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from heartbeat_reporter.events import HeartbeatEvent, HeartbeatsHeard, HeartbeatsLost
from heartbeat_reporter.ports import ControlPlane, Pause
from heartbeat_reporter.schedule import HeartbeatSettings, pause_s
from pool_registry_types import ModelReport, PoolSnapshot


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a heartbeat says."""

    pools: tuple[PoolSnapshot, ...] = ()
    models: tuple[ModelReport, ...] = ()


def wall_clock_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


async def pause(wake: asyncio.Event, seconds: float, /) -> None:
    """Wait for the event or the time, whichever comes first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()


class HeartbeatReporter:
    """Reports this node to every control plane that it is registered with; made by `running`."""

    def __init__(
        self,
        settings: HeartbeatSettings,
        report: Callable[[], NodeReport],
        *,
        on_event: Callable[[HeartbeatEvent], None],
        chance: Callable[[], float],
        wait: Pause,
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._report = report
        self._on_event = on_event
        self._chance = chance
        self._wait = wait
        self._now_ms = now_ms
        self._wakes: list[asyncio.Event] = []

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        control_planes: Sequence[ControlPlane],
        report: Callable[[], NodeReport],
        settings: HeartbeatSettings | None = None,
        *,
        on_event: Callable[[HeartbeatEvent], None] = lambda _: None,
        chance: Callable[[], float] = random.random,
        wait: Pause = pause,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> AsyncIterator[Self]:
        """Report as long as the context is open; `report` is asked for each heartbeat anew."""
        reporter = cls(
            settings or HeartbeatSettings(),
            report,
            on_event=on_event,
            chance=chance,
            wait=wait,
            now_ms=now_ms,
        )
        async with asyncio.TaskGroup() as tasks:
            loops = []
            for control_plane in control_planes:
                wake = asyncio.Event()
                reporter._wakes.append(wake)
                loops.append(
                    tasks.create_task(
                        reporter._keep_reporting(control_plane, wake),
                        name=f"heartbeat {control_plane.url}",
                    )
                )
            try:
                yield reporter
            finally:
                for loop in loops:
                    loop.cancel()

    def report_now(self) -> None:
        """Send a heartbeat at once; changes while one is underway share the one after it."""
        for wake in self._wakes:
            wake.set()

    async def _keep_reporting(self, control_plane: ControlPlane, wake: asyncio.Event) -> None:
        interval_ms = self._settings.interval_ms
        failures: int | None = None
        """In a row; None as long as nothing was said."""
        while True:
            await control_plane.registered()
            # Before the report is made: a change that comes after it wakes us once more.
            wake.clear()
            node = self._report()
            answer = await control_plane.heartbeat(
                node.pools, node.models, timestamp_ms=self._now_ms()
            )
            if answer is not None:
                interval_ms = answer.next_heartbeat_ms
                if failures is None or failures:
                    self._on_event(HeartbeatsHeard(control_plane.url, failures or 0))
                failures = 0
            elif control_plane.is_registered:
                if not failures:
                    self._on_event(HeartbeatsLost(control_plane.url))
                failures = (failures or 0) + 1
            else:
                # It has forgotten us: as soon as it knows us again, it wants to know how we are.
                continue
            await self._wait(wake, pause_s(self._settings, interval_ms, failures, self._chance()))
