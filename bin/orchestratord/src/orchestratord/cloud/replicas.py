"""The coordinator's way to engines on other machines: a breaker, and an adapter on the relay.

The node itself grants the lease, with the request.
"""

from collections.abc import Callable

from adapter_api import EngineOverloaded, EngineReset, EngineUnreachable
from adapter_host import AdapterHost, BreakerOpen, Call, NotBound, outcome_of
from multi_node_placement import ClusterView, Reservation
from orchestrator_core import ReplicaKey
from orchestratord.breakers import Breakers, host_key, not_lent
from orchestratord.cloud.calls import NodeCall, NodeCalls


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

    def lend(
        self,
        reservation: Reservation,
        *,
        lease: str,  # noqa: ARG002 - the adapter sends it with the request
        on_revoked: Callable[[], None],
    ) -> "RelayedLoan":
        """Lend the adapter of a replica."""
        key = reservation.key
        try:
            begun = self._host.begin(host_key(key), self._now_ms())
        except (BreakerOpen, NotBound) as error:
            raise not_lent(error, key) from error
        finally:
            self._breakers.tell(key)
        return RelayedLoan(self, begun, self._calls.begin(key, begun.adapter, on_revoked))

    def end(self, begun: Call, call: NodeCall, error: BaseException | None) -> None:
        """End a call with what its attempt has raised."""
        self._note(call.key, error)
        self._calls.end(call)
        try:
            self._host.end_now(begun, outcome_of(error), self._now_ms())
        finally:
            self._breakers.tell(call.key)

    def tell_breakers(self) -> bool:
        """Bring the cluster view up to date; whether any breaker keeps tasks away now."""
        return self._breakers.tell_open()

    def _note(self, key: ReplicaKey, error: BaseException | None) -> None:
        match error:
            case None:
                self._on_outcome(key.node_id, True)
            case EngineOverloaded():
                self._cluster.mark_full(key)
                self._on_busy(key.node_id)
            case EngineReset():
                # The engine has died, its daemon, or the way there: one question tells which.
                self._on_broken(key.node_id)
            case EngineUnreachable():
                # A node that lives answers for an engine that does not.
                self._on_outcome(key.node_id, False)


class RelayedLoan:
    """The adapter of a replica, for one attempt."""

    __slots__ = ("_begun", "_replicas", "adapter")

    def __init__(self, replicas: RelayedReplicas, begun: Call, call: NodeCall) -> None:
        self.adapter = call
        self._replicas = replicas
        self._begun = begun

    def end(self, error: BaseException | None) -> None:
        """Give it back, with what the attempt has raised."""
        self._replicas.end(self._begun, self.adapter, error)
