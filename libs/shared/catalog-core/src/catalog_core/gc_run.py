"""Carries a plan out, asking again before each deletion. Blocks."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from catalog_core.catalog import Catalog
from catalog_core.entries import Count, ModelEntry, ModelId, Removal
from catalog_core.errors import CatalogError, CatalogStoreError, ModelPinnedError
from catalog_core.gc_plan import DiskFacts, FileFact, GcPlan, plan_gc
from catalog_core.gc_policy import CatalogGcPolicy

_BLOCK_BYTES = 512
"""The unit of st_blocks, whatever the file system's own is."""

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


def observe_disk(directory: Path, entries: Iterable[ModelEntry]) -> DiskFacts:
    """Look at the disk of a directory, and at each file of the entries that is there."""
    try:
        usage = shutil.disk_usage(directory)
        device = directory.stat().st_dev
    except OSError as error:
        raise CatalogStoreError(
            directory, f"its disk cannot be looked at: {error.strerror}", retriable=True
        ) from error
    files = {}
    for path in (file.path for entry in entries for file in entry.all_files()):
        with suppress(OSError):
            stat = path.stat()
            files[path] = FileFact(
                device=stat.st_dev,
                inode=stat.st_ino,
                links=stat.st_nlink,
                real_path=path.resolve(),
                size_bytes=stat.st_blocks * _BLOCK_BYTES,
            )
    return DiskFacts(
        device=device, total_bytes=usage.used + usage.free, free_bytes=usage.free, files=files
    )


def prepare_gc(
    catalog: Catalog,
    policy: CatalogGcPolicy,
    *,
    in_use: InUse,
    now_ms: int,
    directory: Path | None = None,
) -> GcPlan:
    """Look at catalog and disk and make a plan: the dry run. Deletes nothing.

    `directory` is where models are stored, if that is another disk than the catalog's. Models
    retired at an unknown time are dated now.
    """
    catalog.date_retired(now_ms)
    entries = catalog.list()
    disk = observe_disk(directory or catalog.directory, entries)
    return plan_gc(entries, disk, policy, in_use=in_use(), now_ms=now_ms)


def run_gc(catalog: Catalog, plan: GcPlan, *, in_use: InUse) -> GcResult:
    """Delete what the plan says unless that changed or is needed by now.

    First it finishes what an interrupted run had begun. Raises CatalogStoreError if another
    collection is running.
    """
    with catalog.removals.exclusive():
        steps = [
            *(_finish(catalog, removal, in_use) for removal in catalog.removals.pending()),
            *(_delete(catalog, each.entry, each.freed_bytes, in_use) for each in plan.deletions),
        ]
    return GcResult(steps=tuple(steps), freed_bytes=sum(step.freed_bytes for step in steps))


def purge(catalog: Catalog, model_id: str, *, in_use: InUse) -> GcStep:
    """Delete one model now, whatever the policy says, unless it is pinned or needed.

    Of a model that was not fetched by us only the entry goes; its files stay.
    """
    entry = catalog.get(model_id)
    if entry.pinned:
        raise ModelPinnedError(model_id)
    if entry.store_path is not None:
        facts = observe_disk(entry.store_path.parent, (entry,)).files.values()
        freed_bytes = sum(fact.size_bytes for fact in facts if fact.links == 1)
        with catalog.removals.exclusive():
            return _delete(catalog, entry, freed_bytes, in_use)
    holder = in_use().get(model_id)
    if holder is not None:
        return _kept(model_id, holder)
    catalog.delete(model_id)
    return GcStep(
        model_id=model_id,
        outcome=GcOutcome.DELETED,
        explanation=f"its entry was deleted; {entry.path} was not fetched by us and stays",
    )


def _delete(catalog: Catalog, entry: ModelEntry, freed_bytes: int, in_use: InUse) -> GcStep:
    holder = in_use().get(entry.id)
    if holder is not None:
        return _kept(entry.id, holder)
    try:
        removal = catalog.removals.withdraw(entry)
    except CatalogError as error:
        return GcStep(model_id=entry.id, outcome=GcOutcome.FAILED, explanation=str(error))
    if removal is None:
        return GcStep(
            model_id=entry.id,
            outcome=GcOutcome.CHANGED,
            explanation="its entry is no longer the one that the plan was made for",
        )
    return _finish(catalog, removal, in_use, freed_bytes=freed_bytes)


def _finish(catalog: Catalog, removal: Removal, in_use: InUse, *, freed_bytes: int = 0) -> GcStep:
    """Delete the files of a model that no new task can find any more."""
    model_id = removal.entry.id
    # Asked only now, since until it was withdrawn somebody could still have begun to use it.
    holder = None if removal.is_detached else in_use().get(model_id)
    try:
        if holder is not None and catalog.removals.restore(removal):
            return _kept(model_id, holder)
        catalog.removals.detach(removal)
        catalog.removals.erase(removal)
    except (OSError, CatalogError) as error:
        return GcStep(
            model_id=model_id,
            outcome=GcOutcome.FAILED,
            explanation=f"its files could not be deleted, the next collection tries again: {error}",
        )
    return GcStep(
        model_id=model_id,
        outcome=GcOutcome.DELETED,
        explanation=f"{removal.entry.store_path} was deleted",
        freed_bytes=freed_bytes,
    )


def _kept(model_id: str, holder: str) -> GcStep:
    return GcStep(
        model_id=model_id, outcome=GcOutcome.IN_USE, explanation=f"it is needed: {holder}"
    )
