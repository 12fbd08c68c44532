"""The pure core: from one scan of the folder to the next, what happened to which replica."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from handoff_watcher.events import (
    HandoffAppeared,
    HandoffChanged,
    HandoffMalformed,
    HandoffVanished,
)
from pool_registry_types import HandoffPayload, PoolId, ReplicaId

HandoffKey: TypeAlias = tuple[PoolId, ReplicaId]
FileEvent: TypeAlias = HandoffAppeared | HandoffChanged | HandoffVanished | HandoffMalformed


@dataclass(frozen=True, slots=True)
class FileReading:
    """What one file says; without a payload, `reason` says why it is no handoff."""

    payload: HandoffPayload | None
    reason: str | None = None
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """The handoff that counts for a replica, and the file that it is from."""

    file: str
    payload: HandoffPayload


@dataclass(frozen=True, slots=True)
class WatchState:
    """What was seen last; a file that became malformed keeps the payload it had."""

    files: Mapping[str, FileReading] = field(default_factory=dict)
    standing: Mapping[HandoffKey, Standing] = field(default_factory=dict)


Scan: TypeAlias = Mapping[str, FileReading]
"""All handoff files by name, adopted ones with their folder."""


def observe(state: WatchState, scan: Scan) -> tuple[WatchState, tuple[FileEvent, ...]]:
    """Compare a scan with what was seen before.

    Replicas are compared, not files: renaming a file, as adopting it does, is no event.
    """
    if scan == state.files:
        return state, ()
    files = {name: _carried_over(state.files.get(name), seen) for name, seen in scan.items()}
    after = WatchState(files, _standing(files))
    return after, (
        *_malformed(state.files, files),
        *_vanished(state.standing, after.standing),
        *_told_anew(state.standing, after.standing),
    )


def to_adopt(state: WatchState) -> tuple[tuple[str, str], ...]:
    """List the moves (from, to) that adoption asks for, oldest first, so that the newest stays.

    The name joins the ids with a character that no id may hold: `a-b` and `c` never meet
    `a` and `b-c`.
    """
    fresh = sorted(
        (seen.payload.created_ms, name, _adopted_name(seen.payload))
        for name, seen in state.files.items()
        if seen.payload is not None and seen.reason is None and not seen.adopted
    )
    return tuple((name, target) for _, name, target in fresh)


def check_invariants(state: WatchState) -> None:
    """Raise AssertionError where a state contradicts itself (for tests)."""
    for key, standing in state.standing.items():
        assert key == _key(standing.payload)
        assert state.files[standing.file].payload == standing.payload
    named = {_key(seen.payload) for seen in state.files.values() if seen.payload is not None}
    assert named == set(state.standing)
    assert all(seen.payload or seen.reason for seen in state.files.values())


def _carried_over(before: FileReading | None, seen: FileReading) -> FileReading:
    if seen.payload is None and before is not None:
        return FileReading(before.payload, seen.reason, seen.adopted)
    return seen


def _standing(files: Mapping[str, FileReading]) -> dict[HandoffKey, Standing]:
    """Choose among files of one replica: a fresh one before an adopted one, then the newest."""
    chosen: dict[HandoffKey, tuple[tuple[bool, int, str], Standing]] = {}
    for name, seen in files.items():
        if seen.payload is None:
            continue
        rank = (not seen.adopted, seen.payload.created_ms, name)
        key = _key(seen.payload)
        if key not in chosen or chosen[key][0] < rank:
            chosen[key] = (rank, Standing(name, seen.payload))
    return {key: standing for key, (_, standing) in chosen.items()}


def _malformed(
    before: Mapping[str, FileReading], after: Mapping[str, FileReading]
) -> Iterator[HandoffMalformed]:
    for name, seen in after.items():
        told = name in before and before[name].reason is not None
        if seen.reason is not None and not told:
            yield HandoffMalformed(name, seen.reason)


def _vanished(
    before: Mapping[HandoffKey, Standing], after: Mapping[HandoffKey, Standing]
) -> Iterator[HandoffVanished]:
    for key, standing in before.items():
        if key not in after:
            yield HandoffVanished(standing.payload, standing.file)


def _told_anew(
    before: Mapping[HandoffKey, Standing], after: Mapping[HandoffKey, Standing]
) -> Iterator[HandoffAppeared | HandoffChanged]:
    for key, standing in after.items():
        if key not in before:
            yield HandoffAppeared(standing.payload, standing.file)
        elif before[key].payload != standing.payload:
            yield HandoffChanged(standing.payload, before[key].payload, standing.file)


def _key(payload: HandoffPayload) -> HandoffKey:
    return payload.pool_id, payload.replica_id


def _adopted_name(payload: HandoffPayload) -> str:
    return f"{payload.pool_id}~{payload.replica_id}.json"
