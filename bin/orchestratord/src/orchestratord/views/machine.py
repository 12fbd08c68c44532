"""What this process tells about itself and the machine it runs on."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from uuid import uuid4

from adapter_api import EngineDescription
from api_types import (
    Capabilities,
    EngineCapability,
    GpuList,
    Limits,
    NodeView,
    PoolReadiness,
    Readiness,
)
from catalog_core import Catalog
from gpu_discovery import GpuInventory, gpu_list, hardware
from node_types import NodeStatus
from orchestrator_core import ReplicaKey
from orchestratord.config import Settings
from orchestratord.views.naming import check_own
from pool_registry_types import HealthState, ModelReport, ModelState, PoolSnapshot

API_VERSION = "v2"
FEATURES = (
    *("artifacts", "cancel", "deadlines", "drain", "idempotent_tasks", "late_binding"),
    *("priorities", "replay", "sessions", "sse"),
)
SETTLED = frozenset({HealthState.READY, HealthState.FAILED})


class LocalMachine:
    """The views of HOME, where the control plane and its one node are one process."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog,
        snapshots: Callable[[], tuple[PoolSnapshot, ...]],
        inventory: Callable[[], GpuInventory],
        descriptions: Callable[[], Mapping[ReplicaKey, EngineDescription]],
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._snapshots = snapshots
        self._inventory = inventory
        self._descriptions = descriptions
        self._incarnation = uuid4()
        self._shutting_down = False

    def begin_shutdown(self) -> None:
        """Be not ready from now on."""
        self._shutting_down = True

    async def gpus(self, node_id: str | None = None) -> GpuList:
        """Return the GPUs, or why there are none. Raises ApiError where another node is meant."""
        check_own(self._settings.node_id, node_id)
        return gpu_list(self._inventory(), self._settings.device_policy)

    async def node(self, node_id: str | None = None) -> NodeView:
        """Return what this machine is and offers. Raises ApiError where another is meant."""
        check_own(self._settings.node_id, node_id)
        settings = self._settings
        pools = self._snapshots()
        entries = await asyncio.to_thread(self._catalog.list)
        return NodeView(
            node_id=settings.node_id,
            machine_id=settings.machine_id,
            address=f"http://{settings.bind_addr}",
            status=NodeStatus.ONLINE,
            pools=tuple(pool.pool_id for pool in pools),
            capabilities=hardware(self._inventory()),
            version=version("orchestratord"),
            incarnation=self._incarnation,
            seq=0,
            models=tuple(
                ModelReport(
                    model_id=entry.id, digest=entry.digest, state=ModelState(entry.state.value)
                )
                for entry in entries
            ),
        )

    def capabilities(self) -> Capabilities:
        """Return engines, features and limits."""
        return capabilities(self._settings, self._snapshots(), self._descriptions().values())

    def readiness(self) -> Readiness:
        """Be ready once every pool is, or is known not to become so."""
        snapshots = self._snapshots()
        pools = tuple(map(pool_readiness, snapshots))
        settled = all(pool.ready or pool.state in SETTLED or _rests(pool) for pool in snapshots)
        return Readiness(ready=settled and not self._shutting_down, pools=pools)


def capabilities(
    settings: Settings, pools: Iterable[PoolSnapshot], described: Iterable[EngineDescription]
) -> Capabilities:
    """Return what these pools, and what their engines say of themselves, offer together."""
    return Capabilities(
        api_version=API_VERSION,
        profile=settings.profile,
        device_policy=settings.device_policy,
        engines=tuple(_engines(pools, list(described))),
        features=FEATURES,
        limits=Limits(
            max_body_bytes=settings.max_body_bytes,
            admission_capacity=settings.admission_capacity,
            admission_policy=settings.admission_policy,
            queue_max_wait_ms=settings.queue_max_wait_ms,
            event_log_max_bytes=settings.event_log_max_bytes,
            task_retention_ms=settings.task_retention_ms,
            session_ttl_ms=settings.session_ttl_ms,
            session_max_turns=settings.session_max_turns,
        ),
    )


def pool_readiness(pool: PoolSnapshot) -> PoolReadiness:
    """Return what `GET /ready` says of a pool."""
    return PoolReadiness(
        pool_id=pool.pool_id, ready=pool.ready, state=pool.state, last_error=pool.last_error
    )


def _rests(pool: PoolSnapshot) -> bool:
    """Whether a pool loads nothing until a task waits for a model, and could."""
    return pool.swap_models and pool.state is HealthState.STOPPED and pool.change is None


def _engines(
    pools: Iterable[PoolSnapshot], told: Sequence[EngineDescription]
) -> Iterator[EngineCapability]:
    by_engine = sorted(pools, key=lambda pool: pool.engine)
    for engine, group in groupby(by_engine, key=lambda pool: pool.engine):
        of_engine = list(group)
        replicas = [replica for pool in of_engine for replica in pool.replicas]
        described = [each for each in told if each.engine == engine]
        yield EngineCapability(
            engine=engine,
            versions=tuple(sorted({r.engine_version for r in replicas if r.engine_version})),
            ctx_max=max((r.ctx_max or 0 for r in replicas), default=0),
            slots=sum(pool.slots_total for pool in of_engine),
            workloads=tuple(sorted({name for each in described for name in each.workloads})),
            features=tuple(sorted({name for each in described for name in each.features})),
            # Not every engine tells its slots; then what its pool was configured with counts.
            batching=any(
                slots > 1
                for slots in (
                    *(each.slots for each in described),
                    *(replica.slots_total for replica in replicas),
                )
            ),
            models=tuple(sorted({r.model_id for r in replicas if r.model_id})),
        )
