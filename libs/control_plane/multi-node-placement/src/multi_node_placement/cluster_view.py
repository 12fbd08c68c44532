"""What the control plane believes of all replicas: reports in, decisions and reservations out."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator_core import (
    Constraint,
    PlacementDecision,
    PoolRef,
    Preferences,
    ReplicaKey,
    ReplicaView,
    Scorer,
    Servable,
)
from pool_registry_types import PoolSnapshot


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot of a replica that is ours until released."""

    number: int
    key: ReplicaKey
    generation: int
    """Of the engine process it was made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model as the cluster offers it, summed over its replicas."""

    model_id: str
    pools: tuple[PoolRef, ...]
    engines: tuple[str, ...]
    ctx_max: int | None
    replicas: int
    replicas_ready: int
    slots_total: int
    """Of replicas that take tasks."""
    slots_free: int
    loadable: bool
    """Some pool may load it in place of another model."""


class ClusterView:
    """The single writer's view of every replica in the cluster.

    Nothing in it awaits, so choosing and reserving is one step. `on_slot_free` is called, after
    the change is complete, with each replica on which a task may start that could not before;
    it must only take note.
    """

    def __init__(self, on_slot_free: Callable[[ReplicaKey], None] | None = None) -> None: ...

    # reports

    def apply_report(
        self,
        node_id: str,
        pools: Iterable[PoolSnapshot],
        *,
        labels: Mapping[str, str] | None = None,
        loadable: Mapping[str, Collection[str]] | None = None,
        workloads: Mapping[str, Collection[str]] | None = None,
        online: bool = True,
    ) -> None:
        """Replace what is known of a node by its report: pools that are not in it are gone.

        `loadable` gives for a pool id the models it may load, `workloads` for an engine kind what
        it can do. Leases that the node counts and we do not know of are foreign and take slots.
        """
        raise NotImplementedError

    def set_online(self, node_id: str, online: bool) -> None:
        """Stop or allow placement on a node; running tasks keep their reservations."""
        raise NotImplementedError

    def remove_node(self, node_id: str) -> None:
        """Forget a node; reservations on it may still be released."""
        raise NotImplementedError

    # marks that outlive reports

    def mark_suspect(self, key: ReplicaKey) -> None:
        """Give a replica no new task: it has not confirmed a stop."""
        raise NotImplementedError

    def clear_suspect(self, key: ReplicaKey) -> None:
        """Trust a replica again: it has answered."""
        raise NotImplementedError

    def set_breaker(self, key: ReplicaKey, *, closed: bool) -> None:
        """Say whether the circuit breaker of a replica lets tasks through."""
        raise NotImplementedError

    def mark_full(self, key: ReplicaKey) -> None:
        """Believe a node that said REPLICA_BUSY: no slot is free there until its next report."""
        raise NotImplementedError

    # decisions

    def decide(
        self,
        constraint: Constraint,
        *,
        preferences: Preferences | None = None,
        session_id: str | None = None,
        tried: frozenset[ReplicaKey] = frozenset(),
        scorer: Scorer | None = None,
    ) -> PlacementDecision:
        """Choose a replica; with `session_id`, the one where its cache is warm if it has a slot."""
        raise NotImplementedError

    def reserve(self, decision: PlacementDecision, *, session_id: str | None = None) -> Reservation:
        """Take the slot of the chosen replica; NotPlaced if there is none."""
        raise NotImplementedError

    def release(self, reservation: Reservation) -> bool:
        """Give a slot back; False if it was given back before."""
        raise NotImplementedError

    def serves(self, key: ReplicaKey) -> Callable[[Constraint], bool]:
        """Make the test that `ModelQueue.take` needs: may this replica start such a task now."""
        raise NotImplementedError

    def could_serve(self, constraint: Constraint) -> Servable:
        """Tell at admission whether waiting makes sense."""
        raise NotImplementedError

    # questions

    def get(self, key: ReplicaKey) -> ReplicaView | None:
        """Look a replica up."""
        raise NotImplementedError

    def replicas(self, model_id: str | None = None) -> Iterator[ReplicaView]:
        """Give every replica, or those that have a model."""
        raise NotImplementedError

    def free_replicas(self, model_id: str) -> list[ReplicaKey]:
        """List the replicas of a model on which a task could start now, best first."""
        raise NotImplementedError

    def models(self) -> dict[str, ServedModel]:
        """Sum up every model that is or could be served."""
        raise NotImplementedError

    def slots_free(self, key: ReplicaKey) -> int:
        """Tell how many tasks a replica has room for; what its state is does not matter here."""
        raise NotImplementedError

    def slots_for(self, constraint: Constraint) -> int:
        """Count the slots, free or not, of the replicas that may serve: for estimates."""
        raise NotImplementedError

    def resolve_pool(self, name: str) -> PoolRef:
        """Find a pool by `node_id:pool_id` or, where it is unique, by its bare id."""
        raise NotImplementedError

    # sessions

    def kv_warmth(self, session_id: str) -> float:
        """Guess between 0 and 1 how much of a session's cache is still there."""
        raise NotImplementedError

    def forget_session(self, session_id: str) -> None:
        """Drop what is known of a session."""
        raise NotImplementedError
