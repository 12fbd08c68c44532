"""Counts the calls to others, and what they tell of the health of pools."""

import re
from collections import Counter
from collections.abc import Sequence

from adapter_host import Outcome, ReplicaKey
from telemetry_core import MANY, Metrics

ENGINE = "engine"
"""The route of everything that goes to an engine, directly or through its node."""

_IDS = (
    (re.compile(r"^/v2/pools/[^/]+"), "/v2/pools/{pool_id}"),
    (re.compile(r"^/v2/catalog/models/[^/]+"), "/v2/catalog/models/{model_id}"),
)


class UpstreamMetrics:
    """Counts by peer, which is a node or a pool, and never by an address."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter("orchd_upstream_requests_total")
        self._engine_calls = metrics.facts(self._count_engine_calls)

    def engine_called(self, key: ReplicaKey, outcome: Outcome) -> None:
        """Note a task's call to an engine."""
        self._engine_calls.tell((key.pool_id, outcome))
        if len(self._engine_calls.waiting) >= MANY:
            self._engine_calls.settle()

    def node_called(self, node_id: str, path: str, outcome: str) -> None:
        """Count a call of a node's API."""
        self._requests.labels(peer=node_id, route=route_of(path), outcome=outcome).inc()

    def forget(self, peer: str) -> None:
        """Drop what was counted of a peer that has left."""
        self._engine_calls.settle()  # What still waited would come back with the next reading.
        self._requests.remove(peer=peer)

    def _count_engine_calls(self, facts: Sequence[tuple[str, Outcome]]) -> None:
        for (pool_id, outcome), many in Counter(facts).items():
            self._requests.labels(peer=pool_id, route=ENGINE, outcome=outcome.value).inc(many)


class PoolHealthMetrics:
    """Counts and measures the looks at pools, whoever takes them."""

    def __init__(self, metrics: Metrics) -> None:
        self._checks = metrics.counter("orchd_pool_health_checks_total")
        self._durations = metrics.histogram("orchd_pool_health_check_duration_ms")

    def checked(self, pool_id: str, outcome: str, took_ms: float | None) -> None:
        """Count a look; one that nobody answered has taken no time."""
        self._checks.labels(pool_id=pool_id, outcome=outcome).inc()
        if took_ms is not None:
            self._durations.labels(pool_id=pool_id).observe(took_ms)

    def forget(self, pool_id: str) -> None:
        """Drop what was counted of a pool that has left."""
        self._checks.remove(pool_id=pool_id)
        self._durations.remove(pool_id=pool_id)


def route_of(path: str) -> str:
    """Return a path of the API as its route: with the names of parameters for what they are."""
    route = path.partition("?")[0]
    for pattern, named in _IDS:
        route = pattern.sub(named, route)
    return route
