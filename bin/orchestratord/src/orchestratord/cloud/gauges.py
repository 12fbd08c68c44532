"""Brings the gauges of nodes up to date, which nobody needs between two scrapes."""

from collections import Counter

from node_types import NodeStatus
from orchestratord.observing import PoolHealthMetrics, UpstreamMetrics
from service_registry import ServiceRegistry, monotonic_ms
from telemetry_core import Metrics


class NodeGauges:
    """The nodes' numbers as of the moment of `refresh`; what was counted of one that left goes."""

    def __init__(
        self,
        metrics: Metrics,
        registry: ServiceRegistry,
        *,
        upstream: UpstreamMetrics,
        pool_health: PoolHealthMetrics,
    ) -> None:
        self._registry = registry
        self._upstream = upstream
        self._pool_health = pool_health
        self._nodes = metrics.gauge("orchd_nodes")
        self._ages = metrics.gauge("orchd_node_report_age_ms")
        self._safe_mode = metrics.gauge("orchd_safe_mode")
        self._available = metrics.gauge("orchd_pools_available")
        self._shown: set[str] = set()
        self._shown_pools: set[str] = set()

    def refresh(self) -> None:
        """Read the registry."""
        nodes = list(self._registry.nodes())
        by_status = Counter(node.status for node in nodes)
        for status in NodeStatus:
            self._nodes.labels(status=status.value).set(by_status[status])
        pools: set[str] = set()
        for node in nodes:
            age_ms = max(0, monotonic_ms() - node.heard_ms)
            self._ages.labels(node_id=node.node_id).set(age_ms)
            for pool in node.pools:
                taking = node.placeable and pool.ready and not pool.draining
                name = f"{node.node_id}:{pool.pool_id}"
                self._available.labels(pool_id=name).set(taking)
                pools.add(name)
        present = {node.node_id for node in nodes}
        for node_id in self._shown - present:
            self._ages.remove(node_id=node_id)
            self._upstream.forget(node_id)
        for name in self._shown_pools - pools:
            self._available.remove(pool_id=name)
            self._upstream.forget(name)
            self._pool_health.forget(name)
        self._shown, self._shown_pools = present, pools
        self._safe_mode.labels().set(self._registry.health().safe_mode)
