"""The coordinator's way to engines on other machines: a breaker, and an adapter on the relay.

The node itself grants the lease, with the request.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from adapter_api import EngineOverloaded, EngineReset, EngineUnreachable, WorkerAdapter
from adapter_host import AdapterHost, BreakerOpen, NotBound
from multi_node_placement import ClusterView
from orchestrator_core import ReplicaKey
from orchestratord.breakers import Breakers, host_key, not_lent
from orchestratord.cloud.calls import NodeCalls


class RelayedReplicas:
    """Fulfils `admission_coordinator.Replicas` for pools on other machines.

    `on_outcome` is told whether a node could be reached, `on_busy` of nodes that had no slot where
    we saw one, `on_broken` of those from which a stream has broken off.
    """

    def __init__(
        self,
        host: AdapterHost,
        cluster: ClusterView,
        calls: NodeCalls,
        *,
        on_outcome: Callable[[str, bool], None],
        on_busy: Callable[[str], None],
        on_broken: Callable[[str], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._host = host
        self._cluster = cluster
        self._calls = calls
        self._on_outcome = on_outcome
        self._on_busy = on_busy
        self._on_broken = on_broken
        self._now_ms = now_ms
        self._breakers = Breakers(host, cluster, now_ms=now_ms)

    @asynccontextmanager
    async def call(
        self,
        key: ReplicaKey,
        *,
        lease: str,  # noqa: ARG002 - the adapter sends it with the request
        on_revoked: Callable[[], None],
    ) -> AsyncIterator[WorkerAdapter]:
        """Lend the adapter of a replica."""
        try:
            async with self._host.call(host_key(key), self._now_ms) as adapter:
                self._breakers.tell(key)
                with self._calls.of(key, adapter, on_revoked) as call, self._noting(key):
                    yield call
        except (BreakerOpen, NotBound) as error:
            raise not_lent(error, key) from error
        finally:
            self._breakers.tell(key)

    def tell_breakers(self) -> bool:
        """Bring the cluster view up to date; whether any breaker keeps tasks away now."""
        return self._breakers.tell_open()

    @contextmanager
    def _noting(self, key: ReplicaKey) -> Iterator[None]:
        try:
            yield
        except EngineOverloaded:
            self._cluster.mark_full(key)
            self._on_busy(key.node_id)
            raise
        except EngineReset:
            # The engine has died, its daemon, or the way there: one question tells which.
            self._on_broken(key.node_id)
            raise
        except EngineUnreachable:
            # A node that lives answers for an engine that does not.
            self._on_outcome(key.node_id, False)
            raise
        self._on_outcome(key.node_id, True)
