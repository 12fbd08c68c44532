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
from openai_http import OpenAiAdapter
from orchestrator_core import ReplicaKey
from orchestratord.breakers import host_key
from orchestratord.home.directory import HomeDirectory
from orchestratord.home.replicas import LeasedReplicas
from orchestratord.home.wanted import WantedModels
from orchestratord.rounds import Rounds
from pool_registry_types import PoolSnapshot
from vllm_http import VllmAdapter
from worker_http import ClientLimits

_REPORT_INTERVAL_S = 2.0
_BREAKER_INTERVAL_S = 0.25
_MIN_IDLE = 8
_REST_S = 0.02
"""Between two reports: every lease is a change, and a report is only a hint."""
_DESCRIBE_TIMEOUT_S = 5.0


def _limits(at: ReplicaEndpoint) -> ClientLimits:
    """Each slot may keep its connection: llama.cpp has a thread for each slot and two more."""
    return ClientLimits(max_idle=max(_MIN_IDLE, at.slots))


ADAPTERS: dict[str, Callable[[ReplicaEndpoint], WorkerAdapter]] = {
    "llamacpp": lambda at: LlamaCppAdapter(at.url, api_key=at.engine_key, limits=_limits(at)),
    "openai": lambda at: OpenAiAdapter(
        at.url, api_key=at.engine_key, limits=_limits(at), model=at.model_id
    ),
    "vllm": lambda at: VllmAdapter(at.url, api_key=at.engine_key, limits=_limits(at)),
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
        wanted: WantedModels,
        changed: Callable[[], None],
    ) -> None:
        self._node_id = node_id
        self._pools = pools
        self._cluster = cluster
        self._host = host
        self._replicas = replicas
        self._directory = directory
        self._wanted = wanted
        self._models: frozenset[str] = frozenset()
        self._changed = changed
        self._wake = asyncio.Event()
        self._rounds = Rounds(self._wake.set)
        self._reported_at_s = 0.0
        self._told: tuple[PoolSnapshot, ...] = ()
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
            async with asyncio.TaskGroup() as group:
                while True:
                    self._wake.clear()
                    with self._rounds.one():
                        await self._report(group)
                    await self._next_change()
        finally:
            unsubscribe()
            self._rounds.end()

    async def _next_change(self) -> None:
        breakers_open = self._replicas.tell_breakers()
        try:
            async with asyncio.timeout(
                _BREAKER_INTERVAL_S if breakers_open else _REPORT_INTERVAL_S
            ):
                await self._wake.wait()
        except TimeoutError:
            return
        rested_s = asyncio.get_running_loop().time() - self._reported_at_s
        await asyncio.sleep(max(0.0, _REST_S - rested_s))

    async def _report(self, group: asyncio.TaskGroup) -> None:
        snapshots = self._pools.snapshots()
        await self._bind_new(snapshots, group)
        models = frozenset(pool.model_id for pool in snapshots if pool.model_id)
        if models != self._models:
            self._models = models
            await self._directory.refresh()
        self._tell(snapshots)

    async def caught_up(self) -> None:
        """Return once placement knows what was just asked of the pools."""
        snapshots = self._pools.snapshots()
        unbound = [
            replica
            for pool in snapshots
            for replica in pool.replicas
            if replica.health.ready
            and self._bound.get(ReplicaKey(self._node_id, pool.pool_id, replica.replica_id))
            != replica.generation
        ]
        if unbound:
            await self._rounds.next()  # Its adapter comes first.
        else:
            self._tell(snapshots)

    def _tell(self, snapshots: tuple[PoolSnapshot, ...]) -> None:
        workloads: dict[str, set[str]] = {}
        for key, description in self._described.items():
            workloads.setdefault(key.pool_id, set()).update(description.workloads)
        self._told = snapshots
        if self._wanted.any:
            snapshots = tuple(map(self._with_wanted, snapshots))
        self._cluster.apply_report(
            self._node_id,
            snapshots,
            loadable={pool.pool_id: pool.loadable_models for pool in snapshots},
            workloads=workloads,
        )
        self._changed()
        self._reported_at_s = asyncio.get_running_loop().time()

    def tell_again(self) -> None:
        """Have placement know at once that other models than before could be fetched."""
        self._tell(self._told)

    def _with_wanted(self, pool: PoolSnapshot) -> PoolSnapshot:
        """Return a pool that swaps as one that may load what can be fetched for it."""
        if not pool.swap_models:
            return pool
        loadable = (*pool.loadable_models, *self._wanted.offered())
        failures = (*pool.load_failures, *self._wanted.failures())
        return pool.model_copy(update={"loadable_models": loadable, "load_failures": failures})

    async def _bind_new(
        self, snapshots: tuple[PoolSnapshot, ...], group: asyncio.TaskGroup
    ) -> None:
        present: set[ReplicaKey] = set()
        for pool in snapshots:
            for replica in pool.replicas:
                key = ReplicaKey(self._node_id, pool.pool_id, replica.replica_id)
                present.add(key)
                if replica.health.ready and self._bound.get(key) != replica.generation:
                    adapter = await self._bind(key, pool.engine, replica.generation)
                    if adapter is not None:
                        group.create_task(self._describe(key, adapter), name="describe engine")
        for key in self._bound.keys() - present:
            del self._bound[key]
            self._described.pop(key, None)
            await self._host.unbind(*host_key(key))

    async def _bind(self, key: ReplicaKey, engine: str, generation: int) -> WorkerAdapter | None:
        make = ADAPTERS.get(engine)
        if make is None:
            self._log.error("engine_unknown", pool_id=key.pool_id, engine=engine)
            return None
        try:
            adapter = make(self._pools.endpoint(key.pool_id, key.replica_id))
        except PoolError:
            return None  # It went while we looked; its next report comes at once.
        await self._host.bind(str(key.pool), key.replica_id, adapter, generation=generation)
        self._bound[key] = generation
        return adapter

    async def _describe(self, key: ReplicaKey, adapter: WorkerAdapter) -> None:
        """Ask an engine what it can do; until it has told, everything is tried on it."""
        try:
            async with asyncio.timeout(_DESCRIBE_TIMEOUT_S):
                self._described[key] = await adapter.describe()
        except (AdapterError, TimeoutError) as error:
            self._described.pop(key, None)
            self._log.warning("engine_silent", pool_id=key.pool_id, error=str(error))
        self._wake.set()
