"""Nodes and a name service that answer as a test wants, and time that passes when it says so."""

import asyncio
import heapq
from itertools import count
from uuid import UUID

from node_health_poller.ports import Unanswered
from node_health_poller.types import NodePolled
from node_types import NodeCapabilities
from service_discovery_types import RegisterRequest

_SETTLING_STEPS = 50
_CAPABILITIES = NodeCapabilities(cpu_cores=8, ram_total_bytes=2**36)


class PassingTime:
    """A clock and its pauses: time stands still but in `pass_s`."""

    def __init__(self) -> None:
        self._now_s = 1_000.0
        self._order = count()
        self._waiting: list[tuple[float, int, asyncio.Event]] = []

    def now_ms(self) -> int:
        """Return the time."""
        return round(self._now_s * 1000)

    async def pause(self, seconds: float) -> None:
        """Wait until so much time has passed."""
        over = asyncio.Event()
        heapq.heappush(self._waiting, (self._now_s + seconds, next(self._order), over))
        await over.wait()

    async def pass_s(self, seconds: float) -> None:
        """Let time pass, pause by pause, and all that follows from it happen."""
        until_s = self._now_s + seconds
        await self.settle()
        while self._waiting and self._waiting[0][0] <= until_s:
            self._now_s, _, over = heapq.heappop(self._waiting)
            over.set()
            await self.settle()
        self._now_s = until_s

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(_SETTLING_STEPS):
            await asyncio.sleep(0)


class FakeNodes:
    """A `NodeClient`: every URL is a node that answers, unless it is down or hangs."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.held: dict[str, asyncio.Event] = {}
        """URLs whose next answers wait for an event."""
        self.asked: list[str] = []
        self.most_at_once = 0
        self._at_once = 0
        self._seq = count(1)

    async def ask(self, url: str) -> NodePolled:
        """Answer."""
        self.asked.append(url)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if url in self.held:
                await self.held[url].wait()
        finally:
            self._at_once -= 1
        if url in self.down:
            raise Unanswered(f"{url}: connection refused")
        return NodePolled(url, registration(url, next(self._seq)), ())


class FakeNames:
    """A `ServiceResolver` that knows the members it is given, or fails."""

    def __init__(self, *members: tuple[str, int]) -> None:
        self.members = members
        self.trouble: str | None = None

    async def resolve(self, name: str) -> tuple[tuple[str, int], ...]:
        """Answer."""
        if self.trouble is not None:
            raise Unanswered(f"{name}: {self.trouble}")
        return self.members


def registration(url: str, seq: int = 1) -> RegisterRequest:
    """Make what a node under this URL says of itself."""
    host = url.partition("://")[2].partition(":")[0]
    return RegisterRequest(
        node_id=host,
        incarnation=UUID(int=1),
        seq=seq,
        machine_id="machine",
        address=url,
        capabilities=_CAPABILITIES,
        version="0.1.0",
    )
