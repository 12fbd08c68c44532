"""Reservations against true nodes whose reports arrive late."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from multi_node_placement import ClusterView, Reservation
from multi_node_placement.testing import pool_report
from orchestrator_core import Constraint, Outcome, ReplicaKey, When

ANY = Constraint(model_id="m")
NODES = ("a", "b")


class ReservationMachine(RuleBasedStateMachine):
    """Two nodes with one replica each: what truly runs there, and what the view believes.

    A reservation reaches its node later, or never. Reports are made now and applied later, in
    order, at most one of them underway while another is made.
    """

    @initialize(slots=st.integers(1, 4))
    def start(self, slots: int) -> None:
        self.slots = slots
        self.free_told: set[ReplicaKey] = set()
        self.view = ClusterView(on_slot_free=self.free_told.add)
        self.given_whole = ClusterView()
        """The same, but for short cuts: each report is given to it whole."""
        self.held: list[Reservation] = []
        self.arrived: list[Reservation] = []
        self.foreign = dict.fromkeys(NODES, 0)
        self.underway = {node: deque() for node in NODES}
        self.foreign_seen = dict.fromkeys(NODES, 0)
        self.quiet = dict.fromkeys(NODES, 0)
        self.said = {}
        for node in NODES:
            self.make_report(node)
            self.apply_report(node)

    def leases(self, node: str) -> int:
        return self.foreign[node] + sum(held.key.node_id == node for held in self.arrived)

    @rule()
    def place(self) -> None:
        before = {view.key: self.view.slots_free(view.key) for view in self.view.replicas()}
        decision = self.view.decide(ANY)
        assert (decision.outcome is Outcome.PLACED) == any(before.values())
        if decision.chosen is not None:
            held = self.view.reserve(decision)
            assert self.given_whole.reserve(self.given_whole.decide(ANY)) == held
            assert before[held.key] == self.view.slots_free(held.key) + 1
            self.held.append(held)
            self.quiet[held.key.node_id] = 0

    @precondition(lambda self: set(self.held) - set(self.arrived))
    @rule(data=st.data())
    def task_arrives(self, data) -> None:
        missing = [held for held in self.held if held not in self.arrived]
        self.arrived.append(data.draw(st.sampled_from(missing)))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def task_ends(self, data) -> None:
        held = data.draw(st.sampled_from(self.held))
        self.held.remove(held)
        if held in self.arrived:
            self.arrived.remove(held)
        self.free_told.clear()
        assert self.view.release(held)
        assert not self.view.release(held)
        assert self.given_whole.release(held)
        assert (held.key in self.free_told) == (self.view.slots_free(held.key) > 0)

    @rule(node=st.sampled_from(NODES), leases=st.integers(0, 4))
    def others_come_and_go(self, node, leases) -> None:
        ours = self.leases(node) - self.foreign[node]
        self.foreign[node] = min(leases, max(0, self.slots - ours))

    @rule(node=st.sampled_from(NODES), vram=st.integers(0, 2))
    def make_report(self, node, vram=0) -> None:
        if len(self.underway[node]) < 2:
            report = pool_report(slots=self.slots, leases=self.leases(node), vram_free_bytes=vram)
            self.underway[node].append((report, self.foreign[node]))

    @rule(node=st.sampled_from(NODES), short=st.booleans())
    def apply_report(self, node, short=False) -> None:
        if self.underway[node]:
            report, self.foreign_seen[node] = self.underway[node].popleft()
            if not short:
                self.view.apply_report(node, [report])
            elif self.said[node] == report:
                assert self.view.report_again(node)
            else:
                assert self.view.report_load(node, (report,))
            self.given_whole.apply_report(node, [report])
            self.said[node] = report
            ours = sum(held.key.node_id == node for held in self.held)
            self.quiet[node] = 0 if ours else self.quiet[node] + 1

    @rule(node=st.sampled_from(NODES))
    def node_says_busy(self, node) -> None:
        if self.leases(node) >= self.slots:
            key = ReplicaKey(node, "p", "r0")
            self.view.mark_full(key)
            self.given_whole.mark_full(key)
            assert self.view.slots_free(key) == 0

    @invariant()
    def reservations_never_exceed_the_slots(self) -> None:
        self.view.check_invariants()
        for node in NODES:
            ours = sum(held.key.node_id == node for held in self.held)
            assert ours <= self.slots

    @invariant()
    def a_short_cut_leads_where_the_whole_report_does(self) -> None:
        for view in self.given_whole.replicas():
            assert self.view.get(view.key) == view
            assert self.view.slots_free(view.key) == self.given_whole.slots_free(view.key)

    @invariant()
    def what_is_remembered_of_replicas_is_asked_for(self) -> None:
        assert self.view.could_serve(ANY).when is When.NOW
        assert self.view.slots_for(ANY) == self.slots * len(NODES)

    @invariant()
    def no_lease_is_counted_twice(self) -> None:
        for node in NODES:
            key = ReplicaKey(node, "p", "r0")
            ours = sum(held.key.node_id == node for held in self.held)
            believed = self.view._ledger._slots.get(key)
            assert believed is None or believed.foreign <= self.foreign_seen[node]
            if believed is None or not believed.full:
                least_free = self.slots - ours - self.foreign_seen[node]
                assert self.view.slots_free(key) >= max(0, least_free)

    @invariant()
    def without_tasks_of_ours_the_leases_of_others_are_known_exactly(self) -> None:
        for node in NODES:
            # Three quiet reports: the first closes the interval in which a task of ours ran.
            believed = self.view._ledger._slots.get(ReplicaKey(node, "p", "r0"))
            if self.quiet[node] >= 3 and believed is not None:
                assert believed.foreign == self.foreign_seen[node]


def test_reservations_agree_with_nodes_however_late_their_reports_come() -> None:
    run_state_machine_as_test(
        ReservationMachine,
        settings=settings(max_examples=80, stateful_step_count=40, deadline=None),
    )
