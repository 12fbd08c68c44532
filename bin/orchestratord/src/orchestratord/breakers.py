"""The circuit breakers of replicas, as placement sees them."""

from collections.abc import Callable
from functools import lru_cache

import adapter_host
from adapter_api import AdapterError, EngineOverloaded, EngineUnreachable
from adapter_host import AdapterHost, BreakerOpen, NotBound
from multi_node_placement import ClusterView
from orchestrator_core import ReplicaKey


class Breakers:
    """Brings what the adapter host knows into the cluster view."""

    def __init__(
        self, host: AdapterHost, cluster: ClusterView, *, now_ms: Callable[[], int]
    ) -> None:
        self._host = host
        self._cluster = cluster
        self._now_ms = now_ms

    def tell(self, key: ReplicaKey) -> None:
        """Tell of one replica."""
        closed = self._host.breaker_closed(host_key(key), self._now_ms())
        view = self._cluster.get(key)
        if view is not None and view.breaker_closed is not closed:
            self._cluster.set_breaker(key, closed=closed)

    def tell_open(self) -> bool:
        """Tell of those that may have closed; whether any breaker keeps tasks away now."""
        # Not by a look at every replica: there may be thousands, and this is done often.
        waiting = self._cluster.open_breakers()
        for key in waiting:
            self.tell(key)
        return bool(waiting)


@lru_cache(maxsize=8192)
def host_key(key: ReplicaKey) -> adapter_host.ReplicaKey:
    """Return the name under which the adapter host knows a replica."""
    return adapter_host.ReplicaKey(str(key.pool), key.replica_id)


def not_lent(error: BreakerOpen | NotBound, key: ReplicaKey) -> AdapterError:
    """Return what an attempt is told where the adapter host has not begun its call."""
    if isinstance(error, NotBound):
        return EngineUnreachable(f"replica {key.replica_id} has just gone")
    return EngineOverloaded(f"replica {key.replica_id} has failed too often")
