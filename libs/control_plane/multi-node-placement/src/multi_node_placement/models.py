"""What the cluster offers, summed up by model."""

from collections.abc import Iterable
from dataclasses import dataclass

from multi_node_placement.snapshots import NO_REPLICA
from orchestrator_core import PoolRef, ReplicaIndex, ReplicaView


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model as the cluster offers it, summed over its replicas."""

    model_id: str
    pools: tuple[PoolRef, ...]
    """That have it or may load it."""
    engines: tuple[str, ...]
    ctx_max: int | None
    """The largest that any of its replicas gives a task."""
    replicas: int
    replicas_ready: int
    slots_total: int
    """Of replicas that take tasks."""
    loadable: bool
    """Some pool may load it in place of another model."""


def summed_up(index: ReplicaIndex) -> dict[str, ServedModel]:
    """Sum up every model that is or could be served, by model id."""
    having: dict[str, list[ReplicaView]] = {}
    loading: dict[str, list[ReplicaView]] = {}
    for view in index:
        if view.model_id is not None:
            having.setdefault(view.model_id, []).append(view)
        for model_id in view.loadable_models - {view.model_id}:
            loading.setdefault(model_id, []).append(view)
    return {
        model_id: _served(model_id, having.get(model_id, ()), loading.get(model_id, ()))
        for model_id in sorted({*having, *loading})
    }


def _served(
    model_id: str,
    having: Iterable[ReplicaView],
    loading: Iterable[ReplicaView],
) -> ServedModel:
    replicas = [view for view in having if view.key.replica_id != NO_REPLICA]
    ready = [view for view in replicas if view.takes_tasks]
    offering = [*having, *loading]
    return ServedModel(
        model_id=model_id,
        pools=tuple(sorted({view.key.pool for view in offering})),
        engines=tuple(sorted({view.engine for view in offering})),
        ctx_max=max((view.ctx_max for view in replicas if view.ctx_max is not None), default=None),
        replicas=len(replicas),
        replicas_ready=len(ready),
        slots_total=sum(view.slots_total for view in ready),
        loadable=any(True for _ in loading),
    )
