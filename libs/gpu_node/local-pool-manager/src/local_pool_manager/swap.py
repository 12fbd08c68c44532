"""Which model a swapping pool should serve next: pure, from who waits and what is loaded.

Queued work is grouped by model: the loaded one serves its queue until that is empty, or until
a task for another one has waited for the starvation bound. No model leaves before its minimum
residency, and none that is in use before it has been there for as long as its load took: two
queues cannot make the pool thrash, and at least half of its time is spent on tasks.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Demand:
    """The tasks that wait for one model."""

    waiting: int
    oldest_ms: int
    """How long the oldest of them has waited."""


@dataclass(frozen=True, slots=True)
class SwapRules:
    """The limits that a pool keeps."""

    min_residency_ms: int = 5_000
    max_wait_ms: int = 30_000
    """A task of another model that has waited this long ends the turn of the loaded one."""
    idle_unload_ms: int | None = None
    """None: the last model stays."""


@dataclass(frozen=True, slots=True)
class Residence:
    """What is loaded."""

    model_id: str
    since_ms: int
    last_used_ms: int
    active_leases: int
    load_ms: int = 0
    """How long it took to get there."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Leave the pool as it is; ask again after `again_ms` at the latest, None: on a change."""

    again_ms: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class SwapTo:
    """Load another model."""

    model_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unload:
    """Free the memory: nobody has used the model for long."""

    reason: str


Decision: TypeAlias = Stay | SwapTo | Unload


def decide(
    rules: SwapRules,
    loaded: Residence | None,
    demand: Mapping[str, Demand],
    *,
    loadable: Collection[str],
    now_ms: int,
) -> Decision:
    """Return what to do now."""
    here = loaded.model_id if loaded else None
    others = {
        model_id: wish
        for model_id, wish in demand.items()
        if wish.waiting and model_id != here and model_id in loadable
    }
    if not others:
        return _rest(rules, loaded, demand, now_ms)
    # The oldest first; the id only makes the choice the same every time.
    wanted = min(others, key=lambda model_id: (-others[model_id].oldest_ms, model_id))
    wish = others[wanted]
    if loaded is None:
        return SwapTo(wanted, f"{wish.waiting} tasks wait for it, and nothing is loaded")
    resident_ms = now_ms - loaded.since_ms
    own = demand.get(loaded.model_id)
    busy = loaded.active_leases > 0 or (own is not None and own.waiting > 0)
    due_ms = max(rules.max_wait_ms - wish.oldest_ms, loaded.load_ms - resident_ms) if busy else 0
    pause_ms = max(rules.min_residency_ms - resident_ms, due_ms)
    if pause_ms > 0:
        why = "is in use" if busy else "has just been loaded"
        return Stay(pause_ms, f"{here!r} {why}; {wanted!r} is due in {pause_ms} ms")
    why = f"the oldest has waited {wish.oldest_ms} ms" if busy else f"{here!r} is idle"
    return SwapTo(wanted, f"{wish.waiting} tasks wait for it; {why}")


def _rest(
    rules: SwapRules, loaded: Residence | None, demand: Mapping[str, Demand], now_ms: int
) -> Decision:
    if loaded is None or rules.idle_unload_ms is None:
        return Stay(None, "nothing else is asked for")
    own = demand.get(loaded.model_id)
    if loaded.active_leases or (own is not None and own.waiting):
        return Stay(None, f"{loaded.model_id!r} is in use")
    left_ms = rules.idle_unload_ms - (now_ms - max(loaded.last_used_ms, loaded.since_ms))
    if left_ms > 0:
        return Stay(left_ms, f"{loaded.model_id!r} stays for {left_ms} ms without use")
    return Unload(f"{loaded.model_id!r} was not used for {rules.idle_unload_ms} ms")
