"""The coordinator's way to the engines of this machine: a lease, a breaker, an adapter."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from adapter_api import EngineOverloaded, EngineUnreachable, WorkerAdapter
from adapter_host import AdapterHost, BreakerOpen, NotBound
from local_pool_manager import (
    LocalPoolManager,
    PoolDraining,
    PoolNotFound,
    ReplicaBusy,
    ReplicaNotReady,
)
from multi_node_placement import ClusterView
from orchestrator_core import ReplicaKey
from orchestratord.breakers import Breakers, host_key


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

    @asynccontextmanager
    async def call(
        self, key: ReplicaKey, *, lease: str, on_revoked: Callable[[], None]
    ) -> AsyncIterator[WorkerAdapter]:
        """Lend the adapter of a replica; the lease ends with the block.

        The lease is on the engine that placement has seen: one that a reload has put in its
        place since may have another model.
        """
        view = self._cluster.get(key)
        try:
            held = self._pools.acquire(
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
        try:
            async with self._host.call(host_key(key), self._now_ms) as adapter:
                self._breakers.tell(key)
                yield adapter
        except NotBound as error:
            raise EngineUnreachable(f"replica {key.replica_id} has just gone") from error
        except BreakerOpen as error:
            raise EngineOverloaded(f"replica {key.replica_id} has failed too often") from error
        finally:
            self._pools.release(held)
            self._breakers.tell(key)

    def tell_breakers(self) -> bool:
        """Bring the cluster view up to date; whether any breaker keeps tasks away now."""
        return self._breakers.tell_open()
