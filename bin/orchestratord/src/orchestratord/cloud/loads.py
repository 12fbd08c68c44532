"""What of a report changes with each task, told apart from what hardly ever does."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from node_types import ServiceModel
from pool_registry_types import HealthStatus, PoolSnapshot, ReplicaSnapshot

Pools = tuple[PoolSnapshot, ...]


def _all_but(model: type[ServiceModel], names: Iterable[str]) -> Callable[[dict[str, Any]], Any]:
    return itemgetter(*(model.model_fields.keys() - names))


_OF_POOL = _all_but(PoolSnapshot, ["slots_free", "active_leases", "vram_free_bytes", "replicas"])
_OF_REPLICA = _all_but(ReplicaSnapshot, ["slots_free", "active_leases", "health"])
_OF_HEALTH = _all_but(HealthStatus, [])


def are_same_but_for_load(before: Pools, now: Pools) -> bool:
    """Whether nothing is new of pools and their replicas but free slots and memory."""
    if len(before) != len(now):
        return False
    for old, new in zip(before, now, strict=True):
        if old is not new and not _is_same_but_for_load(old, new):
            return False
    return True


def _is_same_but_for_load(old: PoolSnapshot, new: PoolSnapshot) -> bool:
    # By the attributes as they lie there: the equality of models takes ten calls each.
    if _OF_POOL(old.__dict__) != _OF_POOL(new.__dict__) or len(old.replicas) != len(new.replicas):
        return False
    for one, other in zip(old.replicas, new.replicas, strict=True):
        if _OF_REPLICA(one.__dict__) != _OF_REPLICA(other.__dict__):
            return False
        if _OF_HEALTH(one.health.__dict__) != _OF_HEALTH(other.health.__dict__):
            return False
    return True
