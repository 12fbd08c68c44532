"""What a question to a node tells of the health of its pools."""

from collections.abc import Callable, Iterable

from orchestratord.observing import PoolHealthMetrics
from pool_registry_types import PoolSnapshot
from service_registry import NodeLease


class PoolChecks:
    """Takes each answer of a node as a look at every pool that it has."""

    def __init__(self, metrics: PoolHealthMetrics, node: Callable[[str], NodeLease | None]) -> None:
        self._metrics = metrics
        self._node = node

    def answered(self, node_id: str, pools: Iterable[PoolSnapshot], took_ms: float) -> None:
        """Count what a node has told of its pools; being drained is no ill health."""
        for pool in pools:
            outcome = "healthy" if pool.ready or pool.draining else "unhealthy"
            self._metrics.checked(f"{node_id}:{pool.pool_id}", outcome, took_ms)

    def unanswered(self, node_id: str) -> None:
        """Count what is known of a node that could not be asked."""
        node = self._node(node_id)
        for pool in node.pools if node is not None else ():
            self._metrics.checked(f"{node_id}:{pool.pool_id}", "unreachable", None)
