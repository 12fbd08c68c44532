"""Carries a plan out, asking again before each deletion. Blocks."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from catalog_core.catalog import Catalog
from catalog_core.entries import Count, ModelEntry, ModelId
from catalog_core.gc_plan import DiskFacts, GcPlan

InUse = Callable[[], Mapping[str, str]]
"""Which model ids are needed right now, and by whom: served, loading, or waited for."""


class GcOutcome(StrEnum):
    """What became of one deletion; the metric label."""

    DELETED = "deleted"
    IN_USE = "in_use"
    CHANGED = "changed"
    FAILED = "failed"


class GcStep(BaseModel):
    """The result of one deletion."""

    model_config = ConfigDict(frozen=True)

    model_id: ModelId
    outcome: GcOutcome
    explanation: str
    freed_bytes: Count = 0


class GcResult(BaseModel):
    """What a collection did."""

    model_config = ConfigDict(frozen=True)

    steps: tuple[GcStep, ...] = ()
    freed_bytes: Count = 0


def observe_disk(catalog: Catalog, entries: tuple[ModelEntry, ...]) -> DiskFacts:
    """Look at the disk that holds the catalog, and at each file of the entries."""
    raise NotImplementedError


def run_gc(catalog: Catalog, plan: GcPlan, *, in_use: InUse) -> GcResult:
    """Delete what the plan says unless that changed or is needed by now."""
    raise NotImplementedError


def purge(catalog: Catalog, model_id: str, *, in_use: InUse) -> GcStep:
    """Delete one model now, whatever the policy says, unless it is pinned or needed."""
    raise NotImplementedError
