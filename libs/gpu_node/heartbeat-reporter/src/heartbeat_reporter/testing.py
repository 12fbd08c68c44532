"""A control plane that hears heartbeats as a test wants, and pauses that end when it says so."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pool_registry_types import ModelReport, PoolSnapshot
from service_discovery_types import HeartbeatResponse


@dataclass(frozen=True, slots=True)
class Heard:
    """One heartbeat."""

    pools: tuple[PoolSnapshot, ...]
    models: tuple[ModelReport, ...]
    timestamp_ms: int


class FakeControlPlane:
    """A `ControlPlane` that answers with the interval it is set to, or as its script says."""

    def __init__(self, url: str = "http://control-plane", *, interval_ms: int = 10_000) -> None:
        self.url = url
        self.interval_ms = interval_ms
        self._known = asyncio.Event()
        self._known.set()
        self._script: deque[asyncio.Event | Callable[[], None]] = deque()
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()

    @property
    def is_registered(self) -> bool:
        """It knows this node."""
        return self._known.is_set()

    def forget(self) -> None:
        """Know this node no more."""
        self._known.clear()

    def forget_at_next(self) -> None:
        """Answer the next heartbeat by not knowing the node any more."""
        self._script.append(self.forget)

    def remember(self) -> None:
        """Know this node again."""
        self._known.set()

    def lose(self, count: int) -> None:
        """Hear none of the next heartbeats."""
        self._script.extend([lambda: None] * count)

    def hold(self) -> asyncio.Event:
        """Answer the next heartbeat only once the event is set."""
        released = asyncio.Event()
        self._script.append(released)
        return released

    async def next_heartbeat(self) -> Heard:
        """Wait for a heartbeat that was not taken yet, lost ones included."""
        return await self._heard.get()

    async def registered(self) -> None:
        """Return once it knows this node."""
        await self._known.wait()

    async def heartbeat(
        self,
        pools: tuple[PoolSnapshot, ...],
        models: tuple[ModelReport, ...],
        *,
        timestamp_ms: int,
    ) -> HeartbeatResponse | None:
        """Hear it, or not."""
        self._heard.put_nowait(Heard(pools, models, timestamp_ms))
        if self._script:
            step = self._script.popleft()
            if not isinstance(step, asyncio.Event):
                step()
                return None
            await step.wait()
        return HeartbeatResponse(success=True, next_heartbeat_ms=self.interval_ms)


class HeldPauses:
    """Pauses that last until they are woken or `end` is called; no time passes."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[float] = asyncio.Queue()
        self._running: deque[asyncio.Event] = deque()

    async def __call__(self, wake: asyncio.Event, seconds: float, /) -> None:
        """Wait for either."""
        self._running.append(wake)
        self._begun.put_nowait(seconds)
        await wake.wait()

    async def begun(self) -> float:
        """Wait until somebody pauses; returns for how many seconds."""
        return await self._begun.get()

    def end(self) -> None:
        """End the pause that began first."""
        self._running.popleft().set()
