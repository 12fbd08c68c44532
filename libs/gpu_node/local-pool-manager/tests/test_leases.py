import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from local_pool_manager import LeaseError, ReplicaBusy
from local_pool_manager.leases import LeaseTable, check_invariants

TASKS = st.sampled_from([f"t{number}/1" for number in range(6)])


def test_a_lease_is_released_exactly_once():
    table = LeaseTable("demo", "r0", 1, 2)
    lease = table.acquire("t/1")
    table.release(lease)
    with pytest.raises(LeaseError, match="exactly once"):
        table.release(lease)


def test_an_equal_lease_of_a_later_holder_is_not_taken_away():
    table = LeaseTable("demo", "r0", 1, 1)
    first = table.acquire("t/1")
    table.release(first)
    second = table.acquire("t/1")
    assert first == second
    with pytest.raises(LeaseError):
        table.release(first)
    assert table.held == (second,)


def test_every_holder_hears_of_a_revocation_and_still_releases_itself():
    table, heard = LeaseTable("demo", "r0", 1, 3), []
    first = table.acquire("t/1", heard.append)
    table.acquire("t/2")
    # A holder may release in the middle of it.
    table.acquire("t/3", lambda _: table.release(first))
    table.revoke("drained")
    assert heard == ["drained"]
    assert table.free_count == 1


class Leases(RuleBasedStateMachine):
    """Any order of takes and gives: never two leases on one slot, no slot lost."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LeaseTable("demo", "r0", 1, 3)
        self.held = {}
        self.ended = []

    @rule(task=TASKS)
    def acquire(self, task):
        if task in self.held:
            with pytest.raises(LeaseError):
                self.table.acquire(task)
        elif len(self.held) == self.table.slots:
            with pytest.raises(ReplicaBusy):
                self.table.acquire(task)
        else:
            lease = self.table.acquire(task)
            assert lease.slot not in {other.slot for other in self.held.values()}
            self.held[task] = lease

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        task = data.draw(st.sampled_from(sorted(self.held)))
        lease = self.held.pop(task)
        self.table.release(lease)
        self.ended.append(lease)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def release_again(self, data):
        with pytest.raises(LeaseError):
            self.table.release(data.draw(st.sampled_from(self.ended)))

    @invariant()
    def adds_up(self):
        check_invariants(self.table)
        assert set(self.table.held) == set(self.held.values())
        assert self.table.free_count == self.table.slots - len(self.held)


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
