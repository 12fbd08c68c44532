"""Decides, purely, which models to delete, and explains each decision."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from catalog_core.entries import Count, ModelEntry, ModelId
from catalog_core.gc_policy import CatalogGcPolicy


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileFact(_Record):
    """Where a file's bytes really lie, so that what is shared is counted once."""

    device: int
    inode: int
    links: Count
    size_bytes: Count
    """Allocated, which a sparse file has fewer of than it seems."""


class DiskFacts(_Record):
    """A disk and the model files on it, as they were at one moment."""

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
    """Decide for each entry; `in_use` tells by whom a model id is needed right now."""
    raise NotImplementedError
