"""What the pool manager sees, made known to placement: adapters first, then the report.

A replica is reported ready only once its adapter is bound, so that no task is sent to a replica
which nobody can reach.
"""

import asyncio
from collections.abc import Callable

from adapter_api import AdapterError, EngineDescription, WorkerAdapter
from adapter_host import AdapterHost
from llamacpp_http import LlamaCppAdapter
from local_pool_manager import LocalPoolManager, PoolError, ReplicaEndpoint
from multi_node_placement import ClusterView
from narration_core import get_logger
from orchestrator_core import PoolRef, ReplicaKey
from orchestratord.home.directory import HomeDirectory
from orchestratord.home.replicas import LeasedReplicas, host_key
from pool_registry_types import PoolSnapshot

_REPORT_INTERVAL_S = 2.0
_BREAKER_INTERVAL_S = 0.25
_DESCRIBE_TIMEOUT_S = 5.0

ADAPTERS: dict[str, Callable[[ReplicaEndpoint], WorkerAdapter]] = {
    "llamacpp": lambda at: LlamaCppAdapter(at.url, api_key=at.engine_key),
}
"""Engine kind → how its adapter is made."""


class ClusterFeed:
    """Follows the local pools; `run` is a loop that ends by cancellation only."""

    def __init__(
        self,
        node_id: str,
        *,
        pools: LocalPoolManager,
        cluster: ClusterView,
        host: AdapterHost,
        replicas: LeasedReplicas,
        directory: HomeDirectory,
        changed: Callable[[], None],
    ) -> None:
        self._node_id = node_id
        self._pools = pools
        self._cluster = cluster
        self._host = host
        self._replicas = replicas
        self._directory = directory
        self._models: frozenset[str] = frozenset()
        self._changed = changed
        self._wake = asyncio.Event()
        self._bound: dict[ReplicaKey, int] = {}
        self._described: dict[ReplicaKey, EngineDescription] = {}
        self._log = get_logger(component="cluster_feed")

    @property
    def descriptions(self) -> dict[ReplicaKey, EngineDescription]:
        """What each bound engine says of itself."""
        return self._described

    async def run(self) -> None:
        """Report at once, on every change, and every two seconds in any case."""
        unsubscribe = self._pools.subscribe(lambda _pool_id: self._wake.set())
        try:
            while True:
                self._wake.clear()
                await self._report()
                breakers_open = self._replicas.tell_breakers()
                timeout_s = _BREAKER_INTERVAL_S if breakers_open else _REPORT_INTERVAL_S
                try:
                    async with asyncio.timeout(timeout_s):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            unsubscribe()

    async def _report(self) -> None:
        snapshots = self._pools.snapshots()
        await self._bind_new(snapshots)
        models = frozenset(pool.model_id for pool in snapshots if pool.model_id)
        if models != self._models:
            self._models = models
            await self._directory.refresh()
        workloads: dict[str, set[str]] = {}
        for description in self._described.values():
            workloads.setdefault(description.engine, set()).update(description.workloads)
        self._cluster.apply_report(self._node_id, snapshots, workloads=workloads)
        self._changed()

    async def _bind_new(self, snapshots: tuple[PoolSnapshot, ...]) -> None:
        present: set[ReplicaKey] = set()
        for pool in snapshots:
            for replica in pool.replicas:
                key = ReplicaKey(self._node_id, pool.pool_id, replica.replica_id)
                present.add(key)
                if replica.health.ready and self._bound.get(key) != replica.generation:
                    await self._bind(key, pool.engine, replica.generation)
        for key in self._bound.keys() - present:
            del self._bound[key]
            self._described.pop(key, None)
            await self._host.unbind(*host_key(key))

    async def _bind(self, key: ReplicaKey, engine: str, generation: int) -> None:
        make = ADAPTERS.get(engine)
        if make is None:
            self._log.error("engine_unknown", pool_id=key.pool_id, engine=engine)
            return
        try:
            endpoint = self._pools.endpoint(key.pool_id, key.replica_id)
        except PoolError:
            return  # It went while we looked; its next report comes at once.
        adapter = make(endpoint)
        try:
            async with asyncio.timeout(_DESCRIBE_TIMEOUT_S):
                self._described[key] = await adapter.describe()
        except (AdapterError, TimeoutError) as error:
            self._log.warning("engine_silent", pool_id=key.pool_id, error=str(error))
        pool = PoolRef(key.node_id, key.pool_id)
        await self._host.bind(str(pool), key.replica_id, adapter, generation=generation)
        self._bound[key] = generation
