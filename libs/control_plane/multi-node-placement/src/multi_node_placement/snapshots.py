"""From a pool's report to the views that decisions read, once per report."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from orchestrator_core import ReplicaKey, ReplicaView
from pool_registry_types import HealthState, HealthStatus, PoolSnapshot, ReplicaSnapshot

NO_REPLICA = ""
"""The replica id of a pool that has none yet: pins and admission see the pool, no task does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What holds for every replica of a node."""

    node_id: str
    labels: Mapping[str, str]
    loadable: Mapping[str, frozenset[str]]
    """By pool id: the models that the pool may load in place of the present one."""
    workloads: Mapping[str, frozenset[str]]
    """By pool id: what its engines can do."""
    online: bool = True

    @classmethod
    def of(
        cls,
        node_id: str,
        labels: Mapping[str, str],
        *,
        loadable: Mapping[str, Collection[str]],
        workloads: Mapping[str, Collection[str]],
        online: bool,
    ) -> Self:
        """Copy what is given, so that the next report can be compared with it."""
        return cls(
            node_id=node_id,
            labels=dict(labels),
            loadable={pool_id: frozenset(models) for pool_id, models in loadable.items()},
            workloads={pool_id: frozenset(kinds) for pool_id, kinds in workloads.items()},
            online=online,
        )


def views_of(pool: PoolSnapshot, node: NodeFacts) -> Iterator[tuple[ReplicaView, int]]:
    """Give each replica of a pool with the number of its slots that the node says are taken."""
    if not pool.replicas:
        health = HealthStatus(state=pool.state, live=pool.live, ready=False)
        yield _view(pool, ReplicaSnapshot(replica_id="none", health=health), node, NO_REPLICA), 0
    for replica in pool.replicas:
        yield _view(pool, replica, node, replica.replica_id), taken(replica)


def taken(replica: ReplicaSnapshot) -> int:
    """Return how many slots of a replica its node says are taken."""
    if replica.health.state is not HealthState.READY:
        return replica.active_leases
    return max(replica.active_leases, replica.slots_total - replica.slots_free)


def _view(
    pool: PoolSnapshot, replica: ReplicaSnapshot, node: NodeFacts, replica_id: str
) -> ReplicaView:
    health = replica.health
    unready = health.state is HealthState.READY and not health.ready
    return ReplicaView(
        key=ReplicaKey(node.node_id, pool.pool_id, replica_id),
        engine=pool.engine,
        state=HealthState.LOADING if unready else health.state,
        model_id=replica.model_id or pool.model_id,
        model_digest=replica.model_digest,
        engine_version=replica.engine_version or pool.engine_version,
        slots_total=replica.slots_total,
        vram_free_bytes=pool.vram_free_bytes,
        ctx_max=replica.ctx_max,
        device_mask=replica.device_mask or pool.device_mask,
        labels=node.labels,
        workloads=node.workloads.get(pool.pool_id),
        loadable_models=node.loadable.get(pool.pool_id, frozenset()),
        prompt_cache=replica.prompt_cache,
        generation=replica.generation,
        pid=replica.pid,
        online=node.online,
        draining=pool.draining or health.draining,
    )
