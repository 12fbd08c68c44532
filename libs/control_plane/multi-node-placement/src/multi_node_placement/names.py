"""What callers call a pool."""

from collections.abc import Iterable

from multi_node_placement.errors import AmbiguousPool, UnknownPool
from orchestrator_core import PoolRef


def the_pool_named(name: str, known: Iterable[PoolRef]) -> PoolRef:
    """Find a pool by `node_id:pool_id` or, where it is unique, by its bare id.

    Raises UnknownPool and AmbiguousPool.
    """
    node_id, colon, pool_id = name.partition(":")
    if colon:
        found = [pool for pool in known if pool == (node_id, pool_id)]
    else:
        found = sorted(pool for pool in known if pool.pool_id == name)
    if not found:
        raise UnknownPool(name)
    if len(found) > 1:
        raise AmbiguousPool(name, tuple(found))
    return found[0]
