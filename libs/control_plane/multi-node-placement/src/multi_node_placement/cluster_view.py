"""What the control plane believes of all replicas: reports in, decisions and reservations out."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from multi_node_placement.affinity import SessionAffinity
from multi_node_placement.errors import NotPlaced
from multi_node_placement.marks import Marks
from multi_node_placement.models import ServedModel
from multi_node_placement.names import the_pool_named
from multi_node_placement.paces import Measured
from multi_node_placement.prefix_scorer import PrefixScorer, TaskScorer
from multi_node_placement.prompts import Work
from multi_node_placement.reports import NodeReport, are_distinct
from multi_node_placement.slots import Reservation, SlotLedger
from multi_node_placement.snapshots import NodeFacts
from multi_node_placement.standing import Standing
from multi_node_placement.swapping import SwapBook
from orchestrator_core import (
    ANYWHERE,
    Constraint,
    PlacementDecision,
    PlacementInput,
    PoolRef,
    Preferences,
    ReplicaIndex,
    ReplicaKey,
    ReplicaView,
    Servable,
    decide,
)
from pool_registry_types import PoolSnapshot

_COLD = 0.05
"""Below this warmth a session is placed like any other task."""


class ClusterView:
    """The single writer's view of every replica in the cluster.

    Nothing in it awaits, so choosing and reserving is one step. `on_slot_free` is called, after
    the change is complete, with each replica on which a task may start that could not before;
    it must only take note. With a `scorer` a task goes where it is likely to be done first.
    """

    def __init__(
        self,
        on_slot_free: Callable[[ReplicaKey], None] | None = None,
        *,
        scorer: PrefixScorer | None = None,
    ) -> None:
        self._on_slot_free = on_slot_free
        self._scorer = scorer
        self._index = ReplicaIndex()
        self._ledger = SlotLedger()
        self._sessions = SessionAffinity()
        self._nodes: dict[str, set[ReplicaKey]] = {}
        self._reports: dict[str, NodeReport] = {}
        """What the index holds as it was reported; not there once it holds anything else."""
        self._marks = Marks()
        self._standing = Standing(self._index)
        self.swapping = SwapBook()
        """The pools that change models by what tasks wait for."""

    def listen(self, on_slot_free: Callable[[ReplicaKey], None]) -> None:
        """Tell this callback, and no other, of every replica on which a task may now start."""
        self._on_slot_free = on_slot_free

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

        `loadable` gives for a pool id the models it may load, `workloads` what its engines can
        do. Leases that the node counts and we do not know of are foreign and take slots.
        """
        facts = NodeFacts.of(
            node_id, labels or {}, loadable=loadable or {}, workloads=workloads or {}, online=online
        )
        report, new = NodeReport.of(facts, pools, before=self._reports.pop(node_id, None))
        if are_distinct(report.pools):
            self._reports[node_id] = report
        self.swapping.report(node_id, report.pools)
        keys = report.keys
        for key in self._nodes.get(node_id, set()) - keys:
            self._forget(key)
        self._nodes[node_id] = keys
        active = dict(self._ledger.report(report.counts))
        for view, _ in new:
            active.pop(view.key, None)
        freed = self._loaded(active.items())
        freed += [view.key for view, _ in new if self._put(view)]
        self._tell(freed)

    def report_load(self, node_id: str, pools: tuple[PoolSnapshot, ...]) -> bool:
        """Take a report whose pools have other free slots and memory than before, and are the same.

        False, with nothing done: it has to be given whole, since other things have happened since.
        """
        before = self._reports.get(node_id)
        if before is None:
            return False
        report, changed = before.with_load(pools)
        self._reports[node_id] = report
        active = dict(self._ledger.report(report.counts))
        freed = []
        for at in changed:
            pool = pools[at]
            for key, _ in report.by_pool[at]:
                if self._index.set_load(key, active.pop(key, None), pool.vram_free_bytes):
                    freed.append(key)
            if report.facts.loadable.get(pool.pool_id):
                for view in self._index.of_pool(PoolRef(node_id, pool.pool_id)):
                    self.swapping.put(view)
        freed += self._loaded(active.items())
        self._tell(freed)
        return True

    def report_again(self, node_id: str) -> bool:
        """Take a report that says what the last one of this node said; False as `report_load`."""
        report = self._reports.get(node_id)
        if report is None:
            return False
        differing = self._ledger.report(report.counts)
        if differing:
            self._tell(self._loaded(differing))
        return True

    def set_online(self, node_id: str, online: bool) -> None:
        """Stop or allow placement on a node; running tasks keep their reservations."""
        self._reports.pop(node_id, None)
        views = [self._index.get(key) for key in sorted(self._nodes.get(node_id, ()))]
        known = [view.but(online=online) for view in views if view is not None]
        self._tell([view.key for view in known if self._put(view)])

    def remove_node(self, node_id: str) -> None:
        """Forget a node; reservations on it may still be released."""
        self._reports.pop(node_id, None)
        self.swapping.report(node_id, ())
        for key in self._nodes.pop(node_id, set()):
            self._forget(key)

    # marks that outlive reports, but not the engine process

    def mark_suspect(self, key: ReplicaKey) -> None:
        """Give a replica no new task: it has not confirmed a stop."""
        view = self._index.get(key)
        if view is not None:
            self._marks.suspect(view)
            self._put(view)

    def clear_suspect(self, key: ReplicaKey) -> None:
        """Trust a replica again: it has answered."""
        view = self._index.get(key)
        if self._marks.clear_suspect(key) and view is not None and self._put(view):
            self._tell([key])

    def set_breaker(self, key: ReplicaKey, *, closed: bool) -> None:
        """Say whether the circuit breaker of a replica lets tasks through."""
        view = self._index.get(key)
        if view is not None:
            self._marks.set_breaker(view, closed=closed)
            if self._put(view):
                self._tell([key])

    def open_breakers(self) -> tuple[ReplicaKey, ...]:
        """Name the replicas whose breaker keeps tasks away."""
        return self._marks.open_breakers()

    def mark_full(self, key: ReplicaKey) -> None:
        """Believe a node that said REPLICA_BUSY: no slot is free there until its next report."""
        view = self._index.get(key)
        if view is not None:
            self._ledger.mark_full(key)
            self._index.set_active(key, self._ledger.active(key, view.slots_total))

    # decisions

    def decide(
        self,
        constraint: Constraint,
        *,
        preferences: Preferences | None = None,
        session_id: str | None = None,
        tried: frozenset[ReplicaKey] = frozenset(),
        work: Work | None = None,
    ) -> PlacementDecision:
        """Choose a replica; with `session_id`, the one where its cache is warm if it has a slot.

        Where there is a scorer and `work` is given, what is left to read is weighed against all
        else instead: a session is not sent to a replica for its warmth alone.
        """
        wishes = preferences or ANYWHERE
        scorer = None
        if self._scorer is not None and work is not None:
            scorer = TaskScorer(self._scorer, work)
        elif session_id is not None and self.kv_warmth(session_id) >= _COLD:
            wishes = replace(wishes, affinity=self._sessions.key(session_id))
        return decide(
            PlacementInput(
                constraint=constraint,
                replicas=self._index,
                preferences=wishes,
                tried=tried,
                scorer=scorer,
            )
        )

    def reserve(
        self,
        decision: PlacementDecision,
        *,
        session_id: str | None = None,
        work: Work | None = None,
    ) -> Reservation:
        """Take the slot of the chosen replica; NotPlaced if it has none (any more)."""
        view = decision.chosen
        if view is None:
            raise NotPlaced(f"the decision was {decision.outcome}")
        fresh = decision.version == self._index.version
        if not fresh and not self._index.can_start(decision.input.constraint, view.key):
            raise NotPlaced(f"{'/'.join(view.key)} cannot start the task any more")
        reservation = self._ledger.reserve(view.key, view.generation)
        if self._scorer is not None and work is not None:
            self._scorer.bind(reservation.number, view, work, self._index.active(view.key))
        self._index.set_active(view.key, self._ledger.active(view.key, view.slots_total))
        if session_id is not None:
            self._sessions.remember(session_id, view, self._ledger.granted(view.key))
        return reservation

    def release(self, reservation: Reservation) -> bool:
        """Give a slot back; False if it was given back before."""
        if not self._ledger.release(reservation):
            return False
        if self._scorer is not None:
            self._scorer.end(reservation.number)
        key = reservation.key
        view = self._index.get(key)
        if view is None:
            self._ledger.forget(key)
            return True
        can_start = self._index.set_active(key, self._ledger.active(key, view.slots_total))
        if can_start and self._on_slot_free is not None:
            self._on_slot_free(key)
        return True

    # what the scorer learns of tasks

    @property
    def scores(self) -> bool:
        """Whether placement weighs what is left to do on each replica."""
        return self._scorer is not None

    def prompt_read(self, reservation: Reservation) -> None:
        """Note that the first token of a task has come."""
        if self._scorer is not None:
            self._scorer.read(reservation.number)

    def finished(self, reservation: Reservation, work: Work, took: Measured) -> None:
        """Note what a task took, before its release; `work` is its prompt with its answer."""
        if self._scorer is not None:
            view = self._index.get(reservation.key)
            self._scorer.learn(reservation.number, view, work, took)

    def serves(self, key: ReplicaKey) -> Callable[[Constraint], bool]:
        """Make the test that `ModelQueue.take` needs: may this replica start such a task now."""
        return lambda constraint: self._index.can_start(constraint, key)

    def could_serve(self, constraint: Constraint) -> Servable:
        """Tell at admission whether waiting makes sense."""
        return self._standing.could_serve(constraint)

    # questions

    def get(self, key: ReplicaKey) -> ReplicaView | None:
        """Look a replica up."""
        return self._index.get(key)

    def replicas(self, model_id: str | None = None) -> Iterator[ReplicaView]:
        """Give every replica, or those that have a model; a pool without one stands for itself."""
        return iter(self._index) if model_id is None else self._index.of_model(model_id)

    def serves_now(self, model_id: str) -> bool:
        """Tell whether a replica takes tasks of a model, be it full."""
        return any(True for _ in self._index.in_order(model_id))

    def has_room(self, model_id: str) -> bool:
        """Tell whether some replica could start a task of a model now, be it not every task."""
        return self._index.has_room(model_id)

    def free_replicas(self, model_id: str) -> list[ReplicaKey]:
        """List the replicas of a model on which a task could start now, best first."""
        free = []
        for view, active in self._index.in_order(model_id):
            if active >= view.slots_total:
                break
            free.append(view.key)
        return free

    def models(self) -> Mapping[str, ServedModel]:
        """Sum up every model that is or could be served, by model id; kept until one changes."""
        return self._standing.models()

    def slots_free(self, key: ReplicaKey) -> int:
        """Tell how many tasks a replica has room for; what its state is does not matter here."""
        return self._index.slots_free(key)

    def slots_for(self, constraint: Constraint) -> int:
        """Count the slots, free or not, of the replicas that may serve: for estimates."""
        return self._standing.slots_for(constraint)

    def resolve_pool(self, name: str) -> PoolRef:
        """Find a pool by `node_id:pool_id` or, where it is unique, by its bare id."""
        return the_pool_named(name, self._index.pools())

    # sessions

    def kv_warmth(self, session_id: str) -> float:
        """Guess between 0 and 1 how much of a session's cache is still there."""
        key = self._sessions.key(session_id)
        if key is None:
            return 0.0
        return self._sessions.warmth(session_id, self._index.get(key), self._ledger.granted(key))

    def forget_session(self, session_id: str) -> None:
        """Drop what is known of a session."""
        self._sessions.forget(session_id)

    # bookkeeping

    def _loaded(self, active: Iterable[tuple[ReplicaKey, int]]) -> list[ReplicaKey]:
        """Take over how busy replicas are; returns where a task may start that could not before."""
        return [key for key, now in active if self._index.set_load(key, now)]

    def _put(self, view: ReplicaView) -> bool:
        """Store a view with our marks; whether a task may start on it that could not before."""
        key, old = view.key, self._index.get(view.key)
        if self._scorer is not None and old is not None and old.process != view.process:
            self._scorer.forget(key)
        view = self._marks.put_on(view)
        free_before = self._index.slots_free(key)
        if view == old:
            view = old
        else:
            if old is None or view != old.but(vram_free_bytes=view.vram_free_bytes):
                self._standing.changed()
            self.swapping.put(view)
        self._index.put(view, self._ledger.active(key, view.slots_total))
        free = self._index.slots_free(key)
        return view.takes_tasks and free > 0 and (view is not old or free > free_before)

    def _forget(self, key: ReplicaKey) -> None:
        self._index.remove(key)
        self.swapping.remove(key)
        self._ledger.forget(key)
        if self._scorer is not None:
            self._scorer.forget(key)
        self._marks.forget(key)
        self._standing.changed()

    def _tell(self, freed: Iterable[ReplicaKey]) -> None:
        if self._on_slot_free is not None:
            for key in freed:
                self._on_slot_free(key)

    def check_invariants(self) -> None:
        """Assert that index, ledger and nodes agree; linear, for tests."""
        self._index.check_invariants()
        self._ledger.check_invariants()
        self._standing.check_invariants()
        assert {view.key for view in self._index} == {k for ks in self._nodes.values() for k in ks}
        self._marks.check_invariants({view.key: view for view in self._index})
        for view in self._index:
            active = self._index.active(view.key)
            assert active == self._ledger.active(view.key, view.slots_total)
