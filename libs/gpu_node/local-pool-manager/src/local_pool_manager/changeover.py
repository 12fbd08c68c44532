"""The change of a pool's model as a pure state machine: stimuli in, instructions out.

A change either ends with the new model serving, or with the old one serving as before and the
reason told. Where memory holds both, the new engine starts beside the old one; else the old one
is drained and stopped first. No phase but the two last lasts beyond its deadline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import TypeAlias


class Phase(StrEnum):
    """Where a change stands."""

    PLANNING = "planning"
    BESIDE = "beside"
    DRAINING = "draining"
    CUTTING = "cutting"
    STOPPING = "stopping"
    RELEASING = "releasing"
    STARTING = "starting"
    COMMITTING = "committing"
    RETIRING = "retiring"
    CLEARING = "clearing"
    CLOSING = "closing"
    DISCARDING = "discarding"
    RESTORING = "restoring"
    DONE = "done"
    ROLLED_BACK = "rolled_back"


class Act(Enum):
    """What the shell has to do; its result is the next stimulus."""

    PLAN = auto()
    START_NEW = auto()
    COMMIT = auto()
    """Remember the new model and hand its engines over in place of the old ones."""
    KEEP_OLD = auto()
    """Hand the old engines, which still run, over again."""
    DRAIN_OLD = auto()
    REVOKE_OLD = auto()
    STOP_OLD = auto()
    AWAIT_MEMORY = auto()
    STOP_NEW = auto()
    START_OLD = auto()


@dataclass(frozen=True, slots=True)
class Planned:
    """The new model is here, and its engines are planned."""

    beside: bool
    """Memory holds the old and the new engines at once."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What the present phase tried cannot be done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The engines that were started are healthy."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The new engines have come through the door."""


@dataclass(frozen=True, slots=True)
class Drained:
    """No lease of the old engines runs any more."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Nobody waits for the new model any more, and nothing has been stopped for it yet."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The engines that were told to stop have ended."""


@dataclass(frozen=True, slots=True)
class Released:
    """The driver shows their memory as free."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The present phase has lasted too long."""


Stimulus: TypeAlias = (
    Planned | Failed | Ready | Committed | Drained | Withdrawn | Stopped | Released | DeadlinePassed
)


@dataclass(frozen=True, slots=True)
class ChangeLimits:
    """How long each phase may last."""

    plan_ms: int = 3_600_000
    """The new model may have to be brought to this disk first."""
    drain_ms: int = 60_000
    """After it running leases are revoked."""
    revoke_ms: int = 5_000
    stop_ms: int = 20_000
    release_ms: int = 15_000
    start_ms: int = 600_000
    commit_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """Who moves a change out of a phase, and what bounds it."""

    owner: str
    deadline: str | None = None
    """The field of `ChangeLimits`."""
    overdue: str = ""
    """What to say when the deadline has passed and the change fails for it."""


_P, _A = Phase, Act
PHASES: Mapping[Phase, PhaseRow] = MappingProxyType(
    {
        _P.PLANNING: PhaseRow("models", "plan_ms", "the new model did not come in time"),
        _P.BESIDE: PhaseRow("supervisor", "start_ms", "the new engine did not get ready in time"),
        _P.DRAINING: PhaseRow("leases", "drain_ms"),
        _P.CUTTING: PhaseRow("leases", "revoke_ms"),
        _P.STOPPING: PhaseRow("supervisor", "stop_ms"),
        _P.RELEASING: PhaseRow("driver", "release_ms"),
        _P.STARTING: PhaseRow("supervisor", "start_ms", "the new engine did not get ready in time"),
        _P.COMMITTING: PhaseRow("door", "commit_ms", "the new engine's handoff was not seen"),
        _P.RETIRING: PhaseRow("leases", "drain_ms"),
        _P.CLEARING: PhaseRow("leases", "revoke_ms"),
        _P.CLOSING: PhaseRow("supervisor", "stop_ms"),
        _P.DISCARDING: PhaseRow("supervisor", "stop_ms"),
        _P.RESTORING: PhaseRow(
            "supervisor", "start_ms", "the old engine did not come back in time"
        ),
        _P.DONE: PhaseRow("nobody"),
        _P.ROLLED_BACK: PhaseRow("nobody"),
    }
)
WITHDRAWN = "nobody waits for it any more"
FINAL = frozenset({Phase.DONE, Phase.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class Rule:
    """One legal step."""

    to: Phase
    do: Act | None = None
    unless_beside: "Rule | None" = None
    """Taken instead where the old engines were stopped first."""


_STOP_OLD = Rule(_P.STOPPING, _A.STOP_OLD)
_CLOSE_OLD = Rule(_P.CLOSING, _A.STOP_OLD)
_FREE = Rule(_P.RELEASING, _A.AWAIT_MEMORY)
_START_NEW = Rule(_P.STARTING, _A.START_NEW)
_DISCARD = Rule(_P.DISCARDING, _A.STOP_NEW)
_COMMIT = Rule(_P.COMMITTING, _A.COMMIT)
_BACK = Rule(_P.RESTORING, _A.KEEP_OLD, Rule(_P.RESTORING, _A.START_OLD))
_OVER = Rule(_P.ROLLED_BACK)

TABLE: Mapping[tuple[Phase, type[Stimulus]], Rule] = MappingProxyType(
    {
        (_P.PLANNING, Planned): Rule(_P.BESIDE, _A.START_NEW, Rule(_P.DRAINING, _A.DRAIN_OLD)),
        (_P.PLANNING, Failed): _OVER,
        (_P.PLANNING, DeadlinePassed): _OVER,
        (_P.BESIDE, Ready): _COMMIT,
        (_P.BESIDE, Failed): _DISCARD,
        (_P.BESIDE, DeadlinePassed): _DISCARD,
        (_P.DRAINING, Drained): _STOP_OLD,
        (_P.DRAINING, Withdrawn): _OVER,
        (_P.DRAINING, DeadlinePassed): Rule(_P.CUTTING, _A.REVOKE_OLD),
        (_P.CUTTING, Drained): _STOP_OLD,
        (_P.CUTTING, DeadlinePassed): _STOP_OLD,
        (_P.STOPPING, Stopped): _FREE,
        (_P.STOPPING, DeadlinePassed): _FREE,
        (_P.RELEASING, Released): _START_NEW,
        (_P.RELEASING, DeadlinePassed): _START_NEW,
        (_P.STARTING, Ready): _COMMIT,
        (_P.STARTING, Failed): _DISCARD,
        (_P.STARTING, DeadlinePassed): _DISCARD,
        (_P.COMMITTING, Committed): Rule(_P.RETIRING, _A.DRAIN_OLD, Rule(_P.DONE)),
        (_P.COMMITTING, Failed): _DISCARD,
        (_P.COMMITTING, DeadlinePassed): _DISCARD,
        (_P.RETIRING, Drained): _CLOSE_OLD,
        (_P.RETIRING, DeadlinePassed): Rule(_P.CLEARING, _A.REVOKE_OLD),
        (_P.CLEARING, Drained): _CLOSE_OLD,
        (_P.CLEARING, DeadlinePassed): _CLOSE_OLD,
        (_P.CLOSING, Stopped): Rule(_P.DONE),
        (_P.CLOSING, DeadlinePassed): Rule(_P.DONE),
        (_P.DISCARDING, Stopped): _BACK,
        (_P.DISCARDING, DeadlinePassed): _BACK,
        (_P.RESTORING, Ready): _OVER,
        (_P.RESTORING, Failed): _OVER,
        (_P.RESTORING, DeadlinePassed): _OVER,
    }
)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a pool's model; without a new one the pool is unloaded."""

    old: str | None
    new: str | None
    phase: Phase = Phase.PLANNING
    beside: bool = False
    deadline_ms: int | None = None
    error: str | None = None
    """Why it was rolled back."""


def begin(
    limits: ChangeLimits, *, old: str | None, new: str | None, now_ms: int
) -> tuple[Change, Act]:
    """Return a new change, and what is to be done first."""
    change = Change(old, new)
    if new is None:
        return _enter(limits, change, Phase.DRAINING, now_ms), Act.DRAIN_OLD
    return _enter(limits, change, Phase.PLANNING, now_ms), Act.PLAN


def step(
    limits: ChangeLimits, change: Change, stimulus: Stimulus, *, now_ms: int
) -> tuple[Change, Act | None]:
    """Return the change after the stimulus, and what is to be done, None at its end.

    Raises KeyError for a stimulus that the present phase does not know: an act of the phase can
    have no such result.
    """
    rule = TABLE[change.phase, type(stimulus)]
    if isinstance(stimulus, Planned):
        change = replace(change, beside=stimulus.beside and change.old is not None)
    if not change.beside and rule.unless_beside is not None:
        rule = rule.unless_beside
    change = replace(change, error=_error(change, stimulus))
    to, do = _without_one_side(change, rule)
    return _enter(limits, change, to, now_ms), do


def _without_one_side(change: Change, rule: Rule) -> tuple[Phase, Act | None]:
    """Skip what makes no sense where there was no old model, or there is no new one."""
    match rule.to:
        case Phase.DRAINING if change.old is None:
            return Phase.STARTING, Act.START_NEW
        case Phase.RESTORING if change.old is None:
            return Phase.ROLLED_BACK, None
        case Phase.STARTING if change.new is None:
            return Phase.DONE, None
    return rule.to, rule.do


def _error(change: Change, stimulus: Stimulus) -> str | None:
    told: str | None = None
    match stimulus:
        case Failed(reason):
            told = reason
        case Withdrawn():
            told = WITHDRAWN
        case DeadlinePassed():
            told = PHASES[change.phase].overdue or None
    if told is None or change.error is None:
        return told or change.error
    # The new model failed, and then the old one did.
    return f"{change.error}; and of the old model {change.old!r}: {told}"


def _enter(limits: ChangeLimits, change: Change, to: Phase, now_ms: int) -> Change:
    deadline = PHASES[to].deadline
    return replace(
        change,
        phase=to,
        deadline_ms=now_ms + int(getattr(limits, deadline)) if deadline else None,
    )


def check_invariants(change: Change, now_ms: int) -> None:
    """Raise when a change stands where it may stay for ever, or contradicts itself."""
    if (change.phase in FINAL) is not (change.deadline_ms is None):
        raise AssertionError(f"{change.phase} and its deadline disagree: {change}")
    if change.phase is Phase.ROLLED_BACK and not change.error:
        raise AssertionError(f"rolled back without a reason: {change}")
    if change.phase is Phase.DONE and change.error:
        raise AssertionError(f"done, and yet failed: {change}")
    if change.phase is Phase.RETIRING and not (change.beside and change.old):
        raise AssertionError(f"nothing is there to retire: {change}")
    if change.deadline_ms is not None and change.deadline_ms < now_ms - 1:
        raise AssertionError(f"{change.phase} outlived its deadline: {change}")
