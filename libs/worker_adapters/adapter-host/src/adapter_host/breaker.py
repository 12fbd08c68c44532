"""The circuit breaker of one replica: pure, the clock is data.

A call is begun with `begin`, which may hand out a probe, and ends with exactly one outcome.
An outcome of a call that began before the breaker last changed its state tells of an older
world and changes nothing: forty calls that die together open the breaker once.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Outcome(StrEnum):
    """What one call, ended, says of its replica."""

    SUCCESS = "success"
    NEUTRAL = "neutral"
    """The client's error, backpressure, a disconnect, a cancellation: says nothing."""
    WORKER_FAULT = "worker_fault"


class BreakerState(StrEnum):
    """Whether a replica gets calls: all, none, or a few to try it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


TRANSITIONS = {
    (BreakerState.CLOSED, BreakerState.OPEN): "worker faults in a row reach the limit",
    (BreakerState.OPEN, BreakerState.HALF_OPEN): "its time has come and a call is begun: a probe",
    (BreakerState.HALF_OPEN, BreakerState.CLOSED): "a probe succeeds",
    (BreakerState.HALF_OPEN, BreakerState.OPEN): "a probe fails: a longer wait, up to the maximum",
}
"""Every change of state there is; a neutral probe only gives its place back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When to open, how long, and how carefully to try again."""

    faults_to_open: int = 3
    """Worker faults in a row; a success between them starts the count anew."""
    open_ms: int = 1_000
    open_max_ms: int = 60_000
    growth_ratio: float = 2.0
    probes: int = 1
    """Calls that may be under way at once while half open."""

    def wait_ms(self, times_opened: int) -> int:
        """How long the breaker stays open when it opens for the nth time in a row."""
        doublings = min(times_opened - 1, 64)
        return round(min(self.open_ms * self.growth_ratio**doublings, self.open_max_ms))


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call that the breaker let through."""

    epoch: int
    probe: bool


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one breaker; every change gives a new one."""

    state: BreakerState = BreakerState.CLOSED
    epoch: int = 0
    faults: int = 0
    times_opened: int = 0
    try_at_ms: int = 0
    probes_out: int = 0

    def admits(self, policy: BreakerPolicy, now_ms: int) -> bool:
        """Whether a call begun now would be let through."""
        match self.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return now_ms >= self.try_at_ms
            case BreakerState.HALF_OPEN:
                return self.probes_out < policy.probes

    def begin(self, policy: BreakerPolicy, now_ms: int) -> tuple["Breaker", Ticket | None]:
        """Let a call through, or not; while half open it is a probe."""
        if not self.admits(policy, now_ms):
            return self, None
        match self.state:
            case BreakerState.CLOSED:
                return self, Ticket(self.epoch, probe=False)
            case BreakerState.OPEN:
                opened = replace(
                    self, state=BreakerState.HALF_OPEN, epoch=self.epoch + 1, probes_out=1
                )
                return opened, Ticket(opened.epoch, probe=True)
            case BreakerState.HALF_OPEN:
                more = replace(self, probes_out=self.probes_out + 1)
                return more, Ticket(more.epoch, probe=True)

    def end(
        self, ticket: Ticket, outcome: Outcome, *, policy: BreakerPolicy, now_ms: int
    ) -> "Breaker":
        """Count one outcome; call once for each ticket."""
        if ticket.epoch != self.epoch:
            return self
        match self.state, outcome:
            case BreakerState.CLOSED, Outcome.SUCCESS:
                return replace(self, faults=0) if self.faults else self
            case BreakerState.CLOSED, Outcome.WORKER_FAULT:
                counted = replace(self, faults=self.faults + 1)
                if counted.faults < policy.faults_to_open:
                    return counted
                return counted._opened(policy, now_ms)
            case BreakerState.HALF_OPEN, Outcome.SUCCESS:
                return Breaker(epoch=self.epoch + 1)
            case BreakerState.HALF_OPEN, Outcome.WORKER_FAULT:
                return self._opened(policy, now_ms)
            case BreakerState.HALF_OPEN, Outcome.NEUTRAL:
                return replace(self, probes_out=self.probes_out - 1)
        return self

    def _opened(self, policy: BreakerPolicy, now_ms: int) -> "Breaker":
        times_opened = self.times_opened + 1
        return Breaker(
            state=BreakerState.OPEN,
            epoch=self.epoch + 1,
            times_opened=times_opened,
            try_at_ms=now_ms + policy.wait_ms(times_opened),
        )


def check_invariants(breaker: Breaker, policy: BreakerPolicy) -> None:
    """Assert what holds in every state; tests call it after each step."""
    assert 0 <= breaker.probes_out <= policy.probes
    assert breaker.probes_out == 0 or breaker.state is BreakerState.HALF_OPEN
    assert 0 <= breaker.faults < policy.faults_to_open
    assert (breaker.times_opened > 0) == (breaker.state is not BreakerState.CLOSED)
