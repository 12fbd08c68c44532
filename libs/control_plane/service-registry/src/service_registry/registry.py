"""The service: the leases, our clock, and one subscriber."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Self, TypeVar

from node_types import NodeId
from pool_registry_types import PoolSnapshot
from service_discovery_types import (
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatResponse,
    PoolReadyCallback,
    PoolReadyResponse,
    RegisterRequest,
    RegisterResponse,
)
from service_registry.events import NodeReported, RegistryEvent
from service_registry.leases import Events, NodeLeases
from service_registry.types import NodeLease, Refused, RegistryHealth, RegistrySettings, Report

CHECK_INTERVAL_S = 1.0

_Answer = TypeVar("_Answer")


def monotonic_ms() -> int:
    """Return the time of a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000


class ServiceRegistry:
    """Which nodes are online: messages in, answers for the wire out, changes to one subscriber.

    `on_event` is called after the change is complete, in the order of the changes; it must not
    call the registry. Nothing here awaits.
    """

    def __init__(
        self,
        on_event: Callable[[RegistryEvent], None],
        settings: RegistrySettings | None = None,
        *,
        now_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        self._on_event = on_event
        self._leases = NodeLeases(settings or RegistrySettings())
        self._now_ms = now_ms

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        on_event: Callable[[RegistryEvent], None],
        settings: RegistrySettings | None = None,
        *,
        now_ms: Callable[[], int] = monotonic_ms,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> AsyncIterator[Self]:
        """Look for stale nodes once a second, as long as the context is open."""
        registry = cls(on_event, settings, now_ms=now_ms)
        async with asyncio.TaskGroup() as tasks:
            loop = tasks.create_task(registry._keep_checking(pause), name="stale-nodes")
            try:
                yield registry
            finally:
                loop.cancel()

    def register(self, message: RegisterRequest) -> RegisterResponse | Refused:
        """`POST /v2/nodes/register`."""
        return self._told(self._leases.register(message, self._now_ms()))

    def heartbeat(self, message: Report) -> HeartbeatResponse | Refused:
        """`POST /v2/nodes/{node_id}/heartbeat`."""
        return self._told(self._leases.heartbeat(message, self._now_ms()))

    def heartbeat_after(
        self, lease: NodeLease, seq: int, pools: tuple[PoolSnapshot, ...]
    ) -> NodeLease | None:
        """Take a heartbeat that says, but for pools, what the one said that made this lease.

        Returns the lease after it; the answer is `heard`. None, with nothing done: the lease is
        another by now, so that the heartbeat has to be given whole.
        """
        after = self._leases.heartbeat_after(lease, seq, pools, self._now_ms())
        if after is not None:
            self._on_event(NodeReported(after))
        return after

    @property
    def heard(self) -> HeartbeatResponse:
        """What a node is told whose heartbeat was taken."""
        return self._leases.heard

    def pool_ready(self, message: PoolReadyCallback) -> PoolReadyResponse | Refused:
        """`POST /v2/callbacks/pool-ready`."""
        return self._told(self._leases.pool_ready(message, self._now_ms()))

    def polled(self, node: RegisterRequest, pools: Iterable[PoolSnapshot]) -> Refused | None:
        """Take what a node has answered to a poll: it counts as registered, heard and reached."""
        return self._told(self._leases.polled(node, pools, self._now_ms()))

    def deregister(self, message: DeregisterRequest) -> DeregisterResponse | Refused:
        """`DELETE /v2/nodes/{node_id}` by the node itself."""
        return self._told(self._leases.deregister(message, self._now_ms()))

    def check_stale_nodes(self) -> None:
        """Let leases run out; `running` does it once a second."""
        self._tell(self._leases.check_stale_nodes(self._now_ms()))

    def remove(self, node_id: NodeId) -> bool:
        """Forget a node that an operator says is gone; False: none is known by this id."""
        known = self._leases.get(node_id) is not None
        self._tell(self._leases.remove(node_id, self._now_ms()))
        return known

    def set_draining(self, node_id: NodeId, draining: bool) -> bool:
        """Keep new tasks off a node, or end that; False: none is known by this id."""
        self._tell(self._leases.set_draining(node_id, draining))
        return self._leases.get(node_id) is not None

    def report_call_outcome(self, node_id: NodeId, succeeded: bool) -> None:
        """Note how the last call from here to a node ended."""
        self._tell(self._leases.report_call_outcome(node_id, succeeded))

    def get(self, node_id: NodeId) -> NodeLease | None:
        """Look a node up."""
        return self._leases.get(node_id)

    def nodes(self) -> Iterator[NodeLease]:
        """Give every node, by id."""
        return self._leases.nodes()

    def health(self) -> RegistryHealth:
        """Count the nodes, for health and metrics."""
        return self._leases.health()

    async def _keep_checking(self, pause: Callable[[float], Awaitable[None]]) -> None:
        while True:
            await pause(CHECK_INTERVAL_S)
            self.check_stale_nodes()

    def _told(self, outcome: tuple[_Answer, Events]) -> _Answer:
        answer, events = outcome
        self._tell(events)
        return answer

    def _tell(self, events: Events) -> None:
        for event in events:
            self._on_event(event)
