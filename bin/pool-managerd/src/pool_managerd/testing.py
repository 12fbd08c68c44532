"""A relay in front of one engine that a test chooses, without a daemon around it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from aiohttp import web

from http_shell import Edge, ErrorMap, Gate, RequestObserver, serving
from local_pool_manager import Lease, PoolError, PoolNotFound, ReplicaEndpoint
from local_pool_manager.leases import LeaseTable
from pool_managerd.relay import RELAY_PATH, Relay, ShortRelay, Standing
from program_config import BindAddress


class OneEngine:
    """Fulfils `Engines` for one replica, `pool/r0`."""

    def __init__(
        self, url: str, *, slots: int = 8, key: str | None = None, engine: str = "llamacpp"
    ) -> None:
        self.at = ReplicaEndpoint(
            pool_id="pool",
            replica_id="r0",
            generation=1,
            url=url,
            engine=engine,
            engine_version="0",
            engine_key=key,
            model_id="model",
            slots=slots,
            ctx_max=512,
        )
        self.leases = LeaseTable("pool", "r0", 1, slots)
        self.refusal: PoolError | None = None
        """Raised in the place of a lease."""
        self.on_release: Callable[[], None] = lambda: None

    def move(self, url: str) -> None:
        """Have another engine in the place of this one, which has nothing to do any more."""
        generation = self.at.generation + 1
        self.at = replace(self.at, url=url, generation=generation)
        self.leases = LeaseTable("pool", "r0", generation, self.at.slots)

    def endpoint(self, pool_id: str, replica_id: str) -> ReplicaEndpoint:
        """See `Engines`."""
        if (pool_id, replica_id) != ("pool", "r0"):
            raise PoolNotFound(f"there is no {pool_id}/{replica_id}")
        return self.at

    def acquire(
        self,
        pool_id: str,  # noqa: ARG002 - there is only one
        replica_id: str,  # noqa: ARG002
        task_key: str,
        *,
        on_revoked: Callable[[str], None] | None = None,
    ) -> Lease:
        """See `Engines`."""
        if self.refusal is not None:
            raise self.refusal
        return self.leases.acquire(task_key, on_revoked)

    def release(self, lease: Lease) -> None:
        """See `Engines`."""
        self.leases.release(lease)
        self.on_release()


class RelayGate(Gate, Standing, Protocol):
    """What stands before a relay."""


class _Open:
    """A gate for all, and an observer of nothing."""

    standing: Callable[[], object] = staticmethod(lambda: None)

    def admit(self, request: web.BaseRequest) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def opens_to(self, headers: Mapping[str, str]) -> bool:  # noqa: ARG002
        return True

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        """Count nothing."""


@asynccontextmanager
async def relaying(
    engine: OneEngine,
    *,
    count: Callable[[str, int], None] = lambda _pool, _bytes: None,
    short: bool = True,
    recalling: bool = True,
    gate: RelayGate | None = None,
    observer: RequestObserver | None = None,
) -> AsyncIterator[str]:
    """Serve a relay, on request without its short way or what that recalls; yields its URL.

    Bytes are counted at the end.
    """
    app, relay = web.Application(), Relay(engine, count=count)
    app.router.add_route("*", RELAY_PATH, relay.handle)
    open_to_all = _Open()
    gate = gate or open_to_all
    edge = Edge(gate, observer or open_to_all, ErrorMap((PoolError,)))
    short_way = ShortRelay(relay.passages, edge, gate) if short else None
    async with serving(
        *(app, edge, BindAddress("127.0.0.1", 0)),
        shutdown_timeout_s=1,
        short_way=short_way,
        recall=short_way.recall if short_way is not None and recalling else None,
    ) as address:
        try:
            yield f"http://{address}/v2/pools/pool/replicas/r0/engine"
        finally:
            relay.passages.count()
            relay.passages.close_kept()
