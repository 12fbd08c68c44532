"""What the routes of a node need from what is behind them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from api_types import GpuList
from http_shell import RequestObserver
from model_keeper import Disks, PoolPurger
from pool_registry_types import PoolSnapshot
from service_discovery_types import PoolDemand, RegisterRequest


class Pools(Protocol):
    """The owner of the pools of this machine; calls may raise PoolError."""

    def snapshots(self) -> tuple[PoolSnapshot, ...]:
        """Return how every pool is."""
        ...

    def snapshot(self, pool_id: str) -> PoolSnapshot:
        """Return how one pool is."""
        ...

    def drain(self, pool_id: str, deadline_ms: int) -> None:
        """Take no new task."""
        ...

    def resume(self, pool_id: str) -> None:
        """End a drain."""
        ...

    def reload(self, pool_id: str, new_model_ref: str) -> None:
        """Begin to change the model."""
        ...

    def demand(self, pool_id: str, told: PoolDemand) -> bool:
        """Take what tasks wait for; False: newer is known."""
        ...

    def preload(self, pool_id: str) -> None:
        """Start the engines of a pool that waits."""
        ...


class Observer(RequestObserver, Protocol):
    """Who counts the requests, and shows all metrics of the node."""

    def exposition(self) -> tuple[bytes, str]:
        """Return the metrics as text, and its content type."""
        ...


class Relay(Protocol):
    """Joins clients and engines."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one relayed request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeServices:
    """Everything that handlers call."""

    node_id: str
    pools: Pools
    disks: Disks
    purger: PoolPurger
    relay: Relay
    observer: Observer
    gpus: Callable[[], GpuList]
    describe: Callable[[], RegisterRequest]
    """The message with which this node registers."""
    call_back: Callable[[str], None]
    """Adds a control plane's URL for callbacks."""
    uptime_ms: Callable[[], int]
