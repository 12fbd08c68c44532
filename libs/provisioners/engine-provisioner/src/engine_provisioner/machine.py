"""The life of one engine as a pure state machine: stimuli in, instructions out.

It reads no clock and draws no random number; both come with each stimulus. `TABLE` holds every
legal step; a stimulus without a row in the present state changes nothing, since a child process
may report while it is already being stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import TypeAlias

SLOW_DISK_BYTES_PER_MS = 50_000
CONTAINER_MS = 15_000


class EngineState(StrEnum):
    """Where an engine stands."""

    STOPPED = "stopped"
    ADOPTING = "adopting"
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    UNRESPONSIVE = "unresponsive"
    STOPPING = "stopping"
    KILLING = "killing"
    BACKOFF = "backoff"
    FAILED = "failed"


class Instruction(Enum):
    """What the shell has to do, in this order."""

    WITHDRAW = auto()
    """Remove the handoff file."""
    TERMINATE = auto()
    KILL = auto()
    SPAWN = auto()
    ANNOUNCE = auto()
    """Write the handoff file."""


@dataclass(frozen=True, slots=True)
class StartAsked:
    """The engine is wanted."""


@dataclass(frozen=True, slots=True)
class AdoptAsked:
    """The engine is wanted, and one that an earlier run started as planned still lives."""


@dataclass(frozen=True, slots=True)
class ReplaceAsked:
    """The engine is wanted, and one that an earlier run started lives, but is not as planned."""

    reason: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The engine is not wanted any more."""


@dataclass(frozen=True, slots=True)
class LoadBegan:
    """The process has started and begins to load the model."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """The load got on."""


@dataclass(frozen=True, slots=True)
class Healthy:
    """The engine answers and serves the planned model."""


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """The engine does not answer as it should."""

    reason: str


@dataclass(frozen=True, slots=True)
class Mismatched:
    """Something answers, but not the planned engine."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process has ended, or could not be started; `fatal`: the same would happen again."""

    reason: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The present state has lasted too long."""


Stimulus: TypeAlias = (
    StartAsked
    | AdoptAsked
    | ReplaceAsked
    | StopAsked
    | LoadBegan
    | Progressed
    | Healthy
    | Unhealthy
    | Mismatched
    | Exited
    | DeadlinePassed
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each state may last, and how often an engine may fail."""

    adopt_ms: int = 5_000
    start_ms: int = 20_000
    load_stall_ms: int = 30_000
    """Without any progress of the load."""
    load_ms: int = 1_800_000
    """Whatever the progress."""
    hang_ms: int = 10_000
    stop_ms: int = 4_000
    kill_ms: int = 5_000
    backoff_base_ms: int = 250
    backoff_cap_ms: int = 30_000
    storm_failures: int = 6
    """Failures in a row that open the breaker."""
    storm_pause_ms: int = 300_000
    """How long the breaker stays open before one more try."""
    stable_ms: int = 60_000
    """An engine that has served this long starts with a clean record."""

    def for_container(self) -> "Limits":
        """Allow a container runtime the time that it takes besides the engine."""
        more_ms = CONTAINER_MS
        return replace(
            self,
            start_ms=self.start_ms + more_ms,
            load_stall_ms=self.load_stall_ms + more_ms,
            stop_ms=self.stop_ms + more_ms,
        )

    def for_model(self, size_bytes: int) -> "Limits":
        """Allow a large file the time that a slow disk takes for it."""
        slow_ms = size_bytes // SLOW_DISK_BYTES_PER_MS
        return replace(
            self, load_stall_ms=self.load_stall_ms + slow_ms, load_ms=self.load_ms + 2 * slow_ms
        )


@dataclass(frozen=True, slots=True)
class StateRow:
    """Who moves an engine out of a state, and what bounds it."""

    owner: str
    deadline: str | None = None
    """The field of `Limits` (for backoff: computed from `backoff_*`)."""
    overdue: str = ""
    """What to say when the deadline has passed."""


STATES: Mapping[EngineState, StateRow] = MappingProxyType(
    {
        EngineState.STOPPED: StateRow("operator"),
        EngineState.ADOPTING: StateRow("probe", "adopt_ms", "the engine found does not answer"),
        EngineState.STARTING: StateRow("host", "start_ms", "the engine's process says nothing"),
        EngineState.LOADING: StateRow("host", "load_stall_ms", "the model load makes no progress"),
        EngineState.READY: StateRow("probe"),
        EngineState.UNRESPONSIVE: StateRow("probe", "hang_ms", "the engine hangs"),
        EngineState.STOPPING: StateRow("kernel", "stop_ms", "the engine does not stop when told"),
        EngineState.KILLING: StateRow("kernel", "kill_ms", "the engine cannot be killed"),
        EngineState.BACKOFF: StateRow("clock", "backoff"),
        EngineState.FAILED: StateRow("clock", "storm_pause_ms"),
    }
)


class After(Enum):
    """Next states that depend on what went before."""

    EXIT = "stopped, starting, backoff or failed"
    """Stopped when unwanted, backoff or failed after a failure, else a new start."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One legal step."""

    to: EngineState | After
    do: tuple[Instruction, ...] = ()
    failing: bool = False
    """The step counts as a failure of the engine."""


_S, _I = EngineState, Instruction
_STOP = Rule(_S.STOPPING, (_I.TERMINATE,))
_KILL = Rule(_S.KILLING, (_I.KILL,), failing=True)
_DIED = Rule(After.EXIT, failing=True)
_START = Rule(_S.STARTING, (_I.SPAWN,))

TABLE: Mapping[tuple[EngineState, type[Stimulus]], Rule] = MappingProxyType(
    {
        (_S.STOPPED, StartAsked): _START,
        (_S.STOPPED, AdoptAsked): Rule(_S.ADOPTING),
        (_S.STOPPED, ReplaceAsked): Rule(_S.STOPPING, (_I.WITHDRAW, _I.TERMINATE)),
        (_S.ADOPTING, Healthy): Rule(_S.READY, (_I.ANNOUNCE,)),
        (_S.ADOPTING, Mismatched): Rule(_S.STOPPING, (_I.WITHDRAW, _I.TERMINATE)),
        (_S.ADOPTING, DeadlinePassed): Rule(_S.STOPPING, (_I.WITHDRAW, _I.TERMINATE)),
        (_S.ADOPTING, Exited): Rule(After.EXIT, (_I.WITHDRAW,)),
        (_S.ADOPTING, StopAsked): Rule(_S.STOPPING, (_I.WITHDRAW, _I.TERMINATE)),
        (_S.STARTING, LoadBegan): Rule(_S.LOADING),
        (_S.STARTING, Exited): _DIED,
        (_S.STARTING, DeadlinePassed): _KILL,
        (_S.STARTING, StopAsked): _STOP,
        (_S.LOADING, Progressed): Rule(_S.LOADING),
        (_S.LOADING, Healthy): Rule(_S.READY, (_I.ANNOUNCE,)),
        (_S.LOADING, Mismatched): _KILL,
        (_S.LOADING, Exited): _DIED,
        (_S.LOADING, DeadlinePassed): _KILL,
        (_S.LOADING, StopAsked): _STOP,
        (_S.READY, Unhealthy): Rule(_S.UNRESPONSIVE, (_I.WITHDRAW,)),
        (_S.READY, Exited): Rule(After.EXIT, (_I.WITHDRAW,), failing=True),
        (_S.READY, StopAsked): Rule(_S.STOPPING, (_I.WITHDRAW, _I.TERMINATE)),
        (_S.UNRESPONSIVE, Healthy): Rule(_S.READY, (_I.ANNOUNCE,)),
        (_S.UNRESPONSIVE, Exited): _DIED,
        (_S.UNRESPONSIVE, DeadlinePassed): _KILL,
        (_S.UNRESPONSIVE, StopAsked): _STOP,
        (_S.STOPPING, Exited): Rule(After.EXIT),
        (_S.STOPPING, DeadlinePassed): Rule(_S.KILLING, (_I.KILL,)),
        (_S.KILLING, Exited): Rule(After.EXIT),
        (_S.KILLING, DeadlinePassed): Rule(After.EXIT, failing=True),
        (_S.BACKOFF, DeadlinePassed): _START,
        (_S.BACKOFF, StopAsked): Rule(_S.STOPPED),
        (_S.FAILED, DeadlinePassed): _START,
        (_S.FAILED, StartAsked): _START,
        (_S.FAILED, StopAsked): Rule(_S.STOPPED),
    }
)


@dataclass(frozen=True, slots=True)
class Engine:
    """All that is remembered of one engine."""

    state: EngineState = EngineState.STOPPED
    wanted: bool = False
    generation: int = 0
    """Rises with every process, started or adopted."""
    restarts: int = 0
    failures: int = 0
    """In a row; an engine that served long enough starts again at none."""
    failing: bool = False
    fatal: bool = False
    deadline_ms: int | None = None
    load_end_ms: int | None = None
    ready_since_ms: int | None = None
    last_error: str | None = None


def step(
    limits: Limits, engine: Engine, stimulus: Stimulus, *, now_ms: int, jitter_ratio: float = 0.0
) -> tuple[Engine, tuple[Instruction, ...]]:
    """Return the engine after the stimulus, and what is to be done about it."""
    match stimulus:
        case StartAsked() | AdoptAsked() | ReplaceAsked():
            engine = replace(engine, wanted=True)
        case StopAsked():
            engine = replace(engine, wanted=False)
    rule = TABLE.get((engine.state, type(stimulus)))
    if rule is None:
        return engine, ()
    engine = replace(
        engine,
        failing=engine.failing or rule.failing,
        fatal=isinstance(stimulus, Exited) and stimulus.fatal,
        last_error=_error(engine, stimulus) or engine.last_error,
    )
    to, do = rule.to, rule.do
    if to is After.EXIT:
        to, do = _after_exit(limits, engine, do, now_ms)
    return _enter(limits, engine, to, now_ms=now_ms, jitter_ratio=jitter_ratio), do


def backoff_ms(limits: Limits, failures: int, jitter_ratio: float) -> int:
    """Return the pause before the next start: doubling, capped, at least half of it jittered."""
    ceiling = min(limits.backoff_cap_ms, limits.backoff_base_ms << min(max(failures - 1, 0), 30))
    return round(ceiling * (0.5 + 0.5 * jitter_ratio))


def _after_exit(
    limits: Limits, engine: Engine, do: tuple[Instruction, ...], now_ms: int
) -> tuple[EngineState, tuple[Instruction, ...]]:
    if not engine.wanted:
        return EngineState.STOPPED, do
    if not engine.failing:
        return EngineState.STARTING, (*do, Instruction.SPAWN)
    if engine.fatal or _failures(limits, engine, now_ms) >= limits.storm_failures:
        return EngineState.FAILED, do
    return EngineState.BACKOFF, do


def _failures(limits: Limits, engine: Engine, now_ms: int) -> int:
    since = engine.ready_since_ms
    stable = since is not None and now_ms - since >= limits.stable_ms
    return 1 if stable else engine.failures + 1


def _error(engine: Engine, stimulus: Stimulus) -> str | None:
    match stimulus:
        case Unhealthy(reason) | Mismatched(reason) | ReplaceAsked(reason):
            return reason
        case Exited(reason) if engine.state not in {EngineState.STOPPING, EngineState.KILLING}:
            return reason
        case DeadlinePassed():
            return STATES[engine.state].overdue or None
    return None


def _enter(
    limits: Limits, engine: Engine, to: EngineState, *, now_ms: int, jitter_ratio: float
) -> Engine:
    row = STATES[to]
    deadline = None
    if row.deadline and to is not EngineState.BACKOFF:
        deadline = now_ms + int(getattr(limits, row.deadline))
    changed = replace(engine, state=to, deadline_ms=deadline)
    match to:
        case EngineState.STARTING | EngineState.ADOPTING:
            return replace(
                changed,
                generation=engine.generation + 1,
                restarts=engine.restarts + (1 if engine.generation else 0),
                failing=False,
                ready_since_ms=None,
                load_end_ms=None,
            )
        case EngineState.LOADING:
            end = engine.load_end_ms or now_ms + limits.load_ms
            return replace(
                changed, load_end_ms=end, deadline_ms=min(end, now_ms + limits.load_stall_ms)
            )
        case EngineState.READY:
            return replace(changed, ready_since_ms=engine.ready_since_ms or now_ms)
        case EngineState.BACKOFF | EngineState.FAILED:
            failures = _failures(limits, engine, now_ms)
            if to is EngineState.BACKOFF:
                pause = backoff_ms(limits, failures, jitter_ratio)
                changed = replace(changed, deadline_ms=now_ms + pause)
            return replace(changed, failures=failures, failing=False, ready_since_ms=None)
        case EngineState.STOPPED:
            return replace(changed, failing=False, failures=0, ready_since_ms=None)
    return changed


def check_invariants(engine: Engine, now_ms: int) -> None:
    """Raise when an engine is in a state that it may never leave, or that contradicts itself."""
    row = STATES[engine.state]
    if (row.deadline is None) != (engine.deadline_ms is None):
        raise AssertionError(f"{engine.state} and its deadline disagree: {engine}")
    if engine.state is EngineState.STOPPED and engine.wanted:
        raise AssertionError(f"a wanted engine is stopped: {engine}")
    if engine.state in {EngineState.BACKOFF, EngineState.FAILED} and not engine.wanted:
        raise AssertionError(f"an unwanted engine waits for its next start: {engine}")
    if engine.deadline_ms is not None and engine.deadline_ms < now_ms - 1:
        raise AssertionError(f"{engine.state} outlived its deadline: {engine}")
