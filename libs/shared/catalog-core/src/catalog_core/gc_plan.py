"""Decides, purely, which models to delete, and explains each decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from catalog_core.entries import Count, ModelEntry, ModelId, ModelState
from catalog_core.gc_policy import (
    CatalogGcPolicy,
    DeleteRetired,
    KeepActive,
    KeepRecentlyUsed,
    RetentionRule,
)

_GB = 1_000_000_000
_DAY_MS = 86_400_000
_Rule = TypeVar("_Rule", bound=RetentionRule)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileFact(_Record):
    """Where a file's bytes really lie, so that what is shared is counted once."""

    device: int
    inode: int
    links: Count
    real_path: Path
    """With all symbolic links followed."""
    size_bytes: Count
    """Allocated, which a sparse file has fewer of than it seems."""


class DiskFacts(_Record):
    """A disk and the model files on it, as they were at one moment."""

    device: int
    total_bytes: Count
    free_bytes: Count
    files: Mapping[Path, FileFact]
    """By path; a path that is not there has no fact."""


class GcAction(StrEnum):
    """What happens to a model."""

    KEEP = "keep"
    DELETE = "delete"


class GcReason(StrEnum):
    """Why; the wire name and the metric label."""

    IN_USE = "in_use"
    PINNED = "pinned"
    FOREIGN_FILE = "foreign_file"
    SHARED_FILE = "shared_file"
    ACTIVE = "active"
    RECENTLY_USED = "recently_used"
    RETIRED_RECENTLY = "retired_recently"
    ROOM_ENOUGH = "room_enough"
    FREES_NOTHING = "frees_nothing"
    RETIRED_LONG = "retired_long"
    ROOM_NEEDED = "room_needed"


class GcDecision(_Record):
    """What happens to one model and why."""

    model_id: ModelId
    action: GcAction
    reason: GcReason
    explanation: str
    freed_bytes: Count = 0
    """What this deletion adds to those before it; 0 for what is kept."""
    entry: ModelEntry
    """As it was when the decision was made."""


class GcPlan(_Record):
    """All decisions, deletions first and in their order."""

    made_ms: Count
    decisions: tuple[GcDecision, ...]
    total_bytes: Count
    free_bytes: Count
    wanted_free_bytes: Count
    freed_bytes: Count
    shortfall_bytes: Count
    """What stays missing of `wanted_free_bytes` after all deletions that the rules allow."""

    @property
    def deletions(self) -> tuple[GcDecision, ...]:
        """What will be deleted, in this order."""
        return tuple(each for each in self.decisions if each.action is GcAction.DELETE)


def plan_gc(
    entries: Sequence[ModelEntry],
    disk: DiskFacts,
    policy: CatalogGcPolicy,
    *,
    in_use: Mapping[str, str],
    now_ms: int,
) -> GcPlan:
    """Decide for each entry; `in_use` tells by whom a model id is needed right now.

    What the rules neither keep nor delete goes when the disk lacks room: Retired before Active,
    then the least recently used first, and no more than is needed.
    """
    by_age = sorted(
        entries, key=lambda each: (each.state is ModelState.ACTIVE, each.last_used_ms, each.id)
    )
    sharers = _sharers(entries, disk)
    ruled = {
        each.id: _rule(each, policy, in_use=in_use, now_ms=now_ms, shared_with=sharers[each.id])
        for each in entries
    }
    doomed = [each for each in by_age if _is(ruled[each.id], GcAction.DELETE)]
    wanted_bytes = max(
        int(policy.min_free_gb * _GB),
        disk.total_bytes - int(disk.total_bytes * policy.max_disk_usage_percent / 100),
    )
    lacking_bytes = max(0, wanted_bytes - disk.free_bytes)
    for_room = _enough(
        doomed, [each for each in by_age if ruled[each.id] is None], disk, lacking_bytes
    )
    freed_bytes = _freed_bytes([*doomed, *for_room], disk)
    shortfall_bytes = max(0, lacking_bytes - freed_bytes)
    deletions: list[GcDecision] = []
    before: list[ModelEntry] = []
    for entry in (*doomed, *for_room):
        gain = _freed_bytes([*before, entry], disk) - _freed_bytes(before, disk)
        before.append(entry)
        why = ruled[entry.id] or _for_room(entry, wanted_bytes, disk, now_ms=now_ms)
        deletions.append(_decision(entry, why, freed_bytes=gain))
    spared = _SPARED[shortfall_bytes == 0]
    kept = [
        _decision(entry, ruled[entry.id] or spared)
        for entry in sorted(entries, key=lambda each: each.id)
        if entry not in before
    ]
    return GcPlan(
        made_ms=now_ms,
        decisions=(*deletions, *kept),
        total_bytes=disk.total_bytes,
        free_bytes=disk.free_bytes,
        wanted_free_bytes=wanted_bytes,
        freed_bytes=freed_bytes,
        shortfall_bytes=shortfall_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Why:
    action: GcAction
    reason: GcReason
    explanation: str


_SPARED = {
    True: _Why(GcAction.KEEP, GcReason.ROOM_ENOUGH, "there is room enough without deleting it"),
    False: _Why(
        GcAction.KEEP,
        GcReason.FREES_NOTHING,
        "room is needed, but its files have other names as well, or lie on another disk",
    ),
}
"""Why a model that no rule keeps is kept, by whether there will be room enough."""


def _is(why: _Why | None, action: GcAction) -> bool:
    return why is not None and why.action is action


def _decision(entry: ModelEntry, why: _Why, *, freed_bytes: int = 0) -> GcDecision:
    return GcDecision(
        model_id=entry.id,
        action=why.action,
        reason=why.reason,
        explanation=why.explanation,
        freed_bytes=freed_bytes,
        entry=entry,
    )


def _rule(
    entry: ModelEntry,
    policy: CatalogGcPolicy,
    *,
    in_use: Mapping[str, str],
    now_ms: int,
    shared_with: str | None,
) -> _Why | None:
    """What a rule says of the entry; None: it goes when room is needed."""

    def keep(reason: GcReason, explanation: str) -> _Why:
        return _Why(GcAction.KEEP, reason, explanation)

    if entry.id in in_use:
        return keep(GcReason.IN_USE, f"it is needed: {in_use[entry.id]}")
    if entry.pinned:
        return keep(GcReason.PINNED, "it is pinned")
    if entry.store_path is None:
        return keep(GcReason.FOREIGN_FILE, f"{entry.path} was not fetched by us, so it is not ours")
    if shared_with is not None:
        return keep(GcReason.SHARED_FILE, f"the model {shared_with} has a file of it, too")
    unused_ms = now_ms - entry.last_used_ms
    for recent in _of(policy, KeepRecentlyUsed):
        if unused_ms < recent.days * _DAY_MS:
            return keep(
                GcReason.RECENTLY_USED,
                f"it was used {_days(unused_ms)} days ago, within {recent.days} days",
            )
    if entry.state is ModelState.ACTIVE:
        if _of(policy, KeepActive):
            return keep(GcReason.ACTIVE, "it is Active")
        return None
    after_days = max((rule.after_days for rule in _of(policy, DeleteRetired)), default=None)
    if after_days is None:
        return None
    if entry.retired_ms is None:
        return keep(GcReason.RETIRED_RECENTLY, "it is Retired, since when is not known")
    retired_ms = now_ms - entry.retired_ms
    told = f"it was retired {_days(retired_ms)} days ago, {{}} {after_days} days"
    if retired_ms < after_days * _DAY_MS:
        return keep(GcReason.RETIRED_RECENTLY, told.format("within"))
    return _Why(GcAction.DELETE, GcReason.RETIRED_LONG, told.format("not within"))


def _of(policy: CatalogGcPolicy, kind: type[_Rule]) -> list[_Rule]:
    return [rule for rule in policy.retention_rules if isinstance(rule, kind)]


def _for_room(entry: ModelEntry, wanted_bytes: int, disk: DiskFacts, *, now_ms: int) -> _Why:
    used_bytes = disk.total_bytes - disk.free_bytes
    return _Why(
        GcAction.DELETE,
        GcReason.ROOM_NEEDED,
        f"room is needed: {_gb(disk.free_bytes)} GB of {_gb(disk.total_bytes)} GB are free "
        f"({_gb(used_bytes)} GB used), {_gb(wanted_bytes)} GB must be, and it was last used "
        f"{_days(now_ms - entry.last_used_ms)} days ago",
    )


def _enough(
    doomed: Sequence[ModelEntry],
    candidates: Sequence[ModelEntry],
    disk: DiskFacts,
    lacking_bytes: int,
) -> list[ModelEntry]:
    """The first candidates whose deletion gives the room, without those that add nothing to it."""
    chosen: list[ModelEntry] = []
    for entry in candidates:
        if _freed_bytes([*doomed, *chosen], disk) >= lacking_bytes:
            break
        chosen.append(entry)
    reached_bytes = min(lacking_bytes, _freed_bytes([*doomed, *chosen], disk))
    for entry in reversed(tuple(chosen)):
        without = [each for each in chosen if each is not entry]
        if _freed_bytes([*doomed, *without], disk) >= reached_bytes:
            chosen = without
    return chosen


def _freed_bytes(deleted: Sequence[ModelEntry], disk: DiskFacts) -> int:
    """What the disk gains: a file counts once, and only when its last name goes."""
    names: dict[FileFact, set[Path]] = {}
    for entry in deleted:
        for file in entry.all_files():
            fact = disk.files.get(file.path)
            if fact is not None and fact.device == disk.device:
                inode = fact.model_copy(update={"real_path": Path()})
                names.setdefault(inode, set()).add(fact.real_path)
    return sum(fact.size_bytes for fact, paths in names.items() if len(paths) >= fact.links)


def _sharers(entries: Sequence[ModelEntry], disk: DiskFacts) -> dict[str, str | None]:
    """For each model another one that has a file at the very same place, not only its content."""
    owners: dict[Path, set[str]] = {}
    places: dict[str, set[Path]] = {}
    for entry in entries:
        places[entry.id] = {
            fact.real_path if (fact := disk.files.get(file.path)) else file.path
            for file in entry.all_files()
        }
        for place in places[entry.id]:
            owners.setdefault(place, set()).add(entry.id)
    return {
        model_id: min(
            (other for path in paths for other in owners[path] if other != model_id), default=None
        )
        for model_id, paths in places.items()
    }


def _days(ms: int) -> int:
    return max(0, ms) // _DAY_MS


def _gb(count: int) -> str:
    return f"{count / _GB:.1f}"
