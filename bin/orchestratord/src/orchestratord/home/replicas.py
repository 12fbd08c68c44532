"""The coordinator's way to the engines of this machine: a lease, a breaker, an adapter."""

from collections.abc import Callable

from adapter_api import EngineOverloaded, EngineUnreachable
from adapter_host import AdapterHost, BreakerOpen, Call, NotBound, outcome_of
from local_pool_manager import (
    Lease,
    LocalPoolManager,
    PoolDraining,
    PoolNotFound,
    ReplicaBusy,
    ReplicaNotReady,
)
from multi_node_placement import ClusterView, Reservation
from orchestrator_core import ReplicaKey
from orchestratord.breakers import Breakers, host_key, not_lent


class LeasedReplicas:
    """Fulfils `admission_coordinator.Replicas` for pools that live in this process."""

    def __init__(
        self,
        pools: LocalPoolManager,
        host: AdapterHost,
        cluster: ClusterView,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._pools = pools
        self._host = host
        self._now_ms = now_ms
        self._breakers = Breakers(host, cluster, now_ms=now_ms)

    def lend(
        self, reservation: Reservation, *, lease: str, on_revoked: Callable[[], None]
    ) -> "LeasedLoan":
        """Lend the adapter of a replica; the lease ends with the loan.

        The lease is on the engine that placement has seen: one that a reload has put in its
        place since may have another model.
        """
        key = reservation.key
        try:
            held = self._pools.acquire(
                key.pool_id,
                key.replica_id,
                lease,
                on_revoked=lambda _reason: on_revoked(),
                generation=reservation.generation,
            )
        except (PoolDraining, ReplicaBusy) as error:
            raise EngineOverloaded(str(error)) from error
        except (PoolNotFound, ReplicaNotReady) as error:
            raise EngineUnreachable(str(error)) from error
        call = self._host.begin_closed(host_key(key))
        if call is None:
            call = self._begin_carefully(key, held)
        return LeasedLoan(self, key, held, call)

    def _begin_carefully(self, key: ReplicaKey, held: Lease) -> Call:
        """Begin a call of a breaker that is open, or half open, as a probe."""
        try:
            call = self._host.begin(host_key(key), self._now_ms())
        except BaseException as error:
            self._give_back(key, held)
            if isinstance(error, BreakerOpen | NotBound):
                raise not_lent(error, key) from error
            raise
        self._breakers.tell(key)
        return call

    def end(self, key: ReplicaKey, held: Lease, call: Call, error: BaseException | None) -> None:
        """End a call with what its attempt has raised, and give the lease back."""
        if error is None and self._host.end_well(call):
            self._pools.release(held)
            return
        try:
            self._host.end_now(call, outcome_of(error), self._now_ms())
        finally:
            self._give_back(key, held)

    def _give_back(self, key: ReplicaKey, held: Lease) -> None:
        self._pools.release(held)
        self._breakers.tell(key)

    def tell_breakers(self) -> bool:
        """Bring the cluster view up to date; whether any breaker keeps tasks away now."""
        return self._breakers.tell_open()


class LeasedLoan:
    """The adapter of a replica, for one attempt."""

    __slots__ = ("_call", "_key", "_lease", "_replicas", "adapter")

    def __init__(self, replicas: LeasedReplicas, key: ReplicaKey, lease: Lease, call: Call) -> None:
        self.adapter = call.adapter
        self._replicas = replicas
        self._key = key
        self._lease = lease
        self._call = call

    def end(self, error: BaseException | None) -> None:
        """Give it back, with what the attempt has raised."""
        self._replicas.end(self._key, self._lease, self._call, error)
