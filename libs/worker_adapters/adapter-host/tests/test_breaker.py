"""The breaker opens once, waits, tries carefully, and forgives."""

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adapter_host import Breaker, BreakerPolicy, BreakerState, Outcome, Ticket
from adapter_host.breaker import TRANSITIONS, check_invariants

POLICY = BreakerPolicy(faults_to_open=2, open_ms=100, open_max_ms=500, probes=1)


def outcomes(breaker: Breaker, *given: Outcome, now_ms: int = 0) -> Breaker:
    for outcome in given:
        breaker, ticket = breaker.begin(POLICY, now_ms)
        assert ticket is not None
        breaker = breaker.end(ticket, outcome, policy=POLICY, now_ms=now_ms)
    return breaker


def opened(now_ms: int = 0) -> Breaker:
    return outcomes(Breaker(), *[Outcome.WORKER_FAULT] * 2, now_ms=now_ms)


def test_faults_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    assert opened().state is BreakerState.OPEN
    mixed = [Outcome.WORKER_FAULT, Outcome.SUCCESS, Outcome.WORKER_FAULT]
    assert outcomes(Breaker(), *mixed).state is BreakerState.CLOSED


def test_neutral_outcomes_neither_open_it_nor_break_a_row_of_faults() -> None:
    assert outcomes(Breaker(), *[Outcome.NEUTRAL] * 10) == Breaker()
    row = [Outcome.WORKER_FAULT, Outcome.NEUTRAL, Outcome.WORKER_FAULT]
    assert outcomes(Breaker(), *row).state is BreakerState.OPEN


def test_an_open_breaker_admits_nothing_until_its_time_and_then_one_probe() -> None:
    breaker = opened(now_ms=1_000)
    assert not breaker.admits(POLICY, 1_099)
    assert breaker.begin(POLICY, 1_099) == (breaker, None)
    breaker, probe = breaker.begin(POLICY, 1_100)
    assert probe is not None
    assert probe.probe
    assert not breaker.admits(POLICY, 5_000)


def test_a_neutral_probe_gives_its_place_back() -> None:
    breaker = outcomes(opened(), Outcome.NEUTRAL, now_ms=100)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.admits(POLICY, 100)
    assert outcomes(breaker, Outcome.SUCCESS, now_ms=100).state is BreakerState.CLOSED


def test_each_failed_probe_waits_longer_up_to_the_limit_and_a_success_forgets() -> None:
    breaker, now_ms, waits = opened(), 0, []
    for _ in range(5):
        waits.append(breaker.try_at_ms - now_ms)
        now_ms = breaker.try_at_ms
        breaker = outcomes(breaker, Outcome.WORKER_FAULT, now_ms=now_ms)
    assert waits == [100, 200, 400, 500, 500]
    now_ms = breaker.try_at_ms
    breaker = outcomes(breaker, Outcome.SUCCESS, now_ms=now_ms)
    assert breaker.times_opened == 0


def test_many_calls_that_die_together_open_it_once() -> None:
    breaker = Breaker()
    tickets = [breaker.begin(POLICY, 0)[1] for _ in range(40)]
    for ticket in tickets:
        assert ticket is not None
        breaker = breaker.end(ticket, Outcome.WORKER_FAULT, policy=POLICY, now_ms=0)
    assert (breaker.state, breaker.times_opened) == (BreakerState.OPEN, 1)


def test_an_old_success_does_not_close_a_breaker_that_opened_since() -> None:
    breaker = Breaker()
    _, old = breaker.begin(POLICY, 0)
    assert old is not None
    breaker = opened()
    breaker = replace(breaker, state=BreakerState.HALF_OPEN)
    assert breaker.end(old, Outcome.SUCCESS, policy=POLICY, now_ms=0) is breaker


@pytest.mark.parametrize("times", [1, 5, 10_000])
def test_the_wait_never_overflows(times: int) -> None:
    assert 0 < POLICY.wait_ms(times) <= POLICY.open_max_ms


class BreakerMachine(RuleBasedStateMachine):
    """Any order of calls, ends and time keeps the invariants and the table."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = BreakerPolicy(faults_to_open=3, open_ms=10, open_max_ms=80, probes=2)
        self.breaker = Breaker()
        self.tickets: list[Ticket] = []
        self.now_ms = 0

    def _become(self, breaker: Breaker) -> None:
        step = (self.breaker.state, breaker.state)
        assert step[0] is step[1] or step in TRANSITIONS
        assert breaker.epoch >= self.breaker.epoch
        self.breaker = breaker

    @rule(passed_ms=st.integers(0, 100))
    def time_passes(self, passed_ms: int) -> None:
        self.now_ms += passed_ms

    @rule()
    def a_call_begins(self) -> None:
        admitted = self.breaker.admits(self.policy, self.now_ms)
        breaker, ticket = self.breaker.begin(self.policy, self.now_ms)
        assert (ticket is not None) == admitted
        self._become(breaker)
        if ticket is not None:
            self.tickets.append(ticket)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def a_call_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        self._become(self.breaker.end(ticket, outcome, policy=self.policy, now_ms=self.now_ms))

    @invariant()
    def it_is_consistent(self) -> None:
        check_invariants(self.breaker, self.policy)
        probes = [t for t in self.tickets if t.probe and t.epoch == self.breaker.epoch]
        assert len(probes) == self.breaker.probes_out

    @invariant()
    def it_never_stays_shut_for_good(self) -> None:
        later_ms = self.now_ms + self.policy.open_max_ms
        assert self.breaker.admits(self.policy, later_ms) or self.breaker.probes_out


TestBreakerMachine = BreakerMachine.TestCase
