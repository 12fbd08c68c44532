"""The coordinator's way to the engines of this machine: a lease, a breaker, an adapter."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeAlias

from adapter_api import EngineOverloaded, EngineUnreachable, WorkerAdapter
from adapter_host import AdapterHost, BreakerOpen, Call, NotBound, outcome_of
from local_pool_manager import (
    Lease,
    LocalPoolManager,
    PoolDraining,
    PoolNotFound,
    ReplicaBusy,
    ReplicaNotReady,
)
from multi_node_placement import ClusterView
from orchestrator_core import ReplicaKey
from orchestratord.breakers import Breakers, host_key, not_lent

_Lent: TypeAlias = tuple[Lease, Call]


class LeasedReplicas:
    """Fulfils `admission_coordinator.Replicas` for pools that live in this process."""

    def __init__(
        self,
        pools: LocalPoolManager,
        host: AdapterHost,
        cluster: ClusterView,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._pools = pools
        self._host = host
        self._cluster = cluster
        self._now_ms = now_ms
        self._breakers = Breakers(host, cluster, now_ms=now_ms)

    def call(
        self, key: ReplicaKey, *, lease: str, on_revoked: Callable[[], None]
    ) -> AbstractAsyncContextManager[WorkerAdapter]:
        """Lend the adapter of a replica; the lease ends with the block.

        The lease is on the engine that placement has seen: one that a reload has put in its
        place since may have another model.
        """
        return _Lending(self, key, lease, on_revoked)

    def begin(self, key: ReplicaKey, lease: str, on_revoked: Callable[[], None]) -> _Lent:
        """Take a lease and begin a call."""
        held = self._lease(key, lease, on_revoked)
        try:
            call = self._host.begin(host_key(key), self._now_ms())
        except BaseException as error:
            self._give_back(key, held)
            if isinstance(error, BreakerOpen | NotBound):
                raise not_lent(error, key) from error
            raise
        self._breakers.tell(key)
        return held, call

    async def end(self, key: ReplicaKey, lent: _Lent, error: BaseException | None) -> None:
        """End the call with what its block has raised, and give the lease back."""
        held, call = lent
        try:
            await self._host.end(call, outcome_of(error), self._now_ms())
        finally:
            self._give_back(key, held)

    def _lease(self, key: ReplicaKey, lease: str, on_revoked: Callable[[], None]) -> Lease:
        view = self._cluster.get(key)
        try:
            return self._pools.acquire(
                key.pool_id,
                key.replica_id,
                lease,
                on_revoked=lambda _reason: on_revoked(),
                generation=None if view is None else view.generation,
            )
        except (PoolDraining, ReplicaBusy) as error:
            raise EngineOverloaded(str(error)) from error
        except (PoolNotFound, ReplicaNotReady) as error:
            raise EngineUnreachable(str(error)) from error

    def _give_back(self, key: ReplicaKey, held: Lease) -> None:
        self._pools.release(held)
        self._breakers.tell(key)

    def tell_breakers(self) -> bool:
        """Bring the cluster view up to date; whether any breaker keeps tasks away now."""
        return self._breakers.tell_open()


class _Lending:
    """The block of one attempt: no generator, since every task has one."""

    __slots__ = ("_key", "_lease", "_lent", "_on_revoked", "_replicas")

    def __init__(
        self,
        replicas: LeasedReplicas,
        key: ReplicaKey,
        lease: str,
        on_revoked: Callable[[], None],
    ) -> None:
        self._replicas = replicas
        self._key = key
        self._lease = lease
        self._on_revoked = on_revoked

    async def __aenter__(self) -> WorkerAdapter:
        self._lent = self._replicas.begin(self._key, self._lease, self._on_revoked)
        return self._lent[1].adapter

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._replicas.end(self._key, self._lent, error)
