"""Carrying a plan out, while the world goes on."""

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from catalog_core import (
    Catalog,
    CatalogGcPolicy,
    CatalogStoreError,
    DeleteRetired,
    GcOutcome,
    GcPlan,
    ModelEntry,
    ModelPinnedError,
    ModelState,
    ModelUnknownError,
    prepare_gc,
    purge,
    run_gc,
)
from catalog_core.testing import model_entry

POLICY = CatalogGcPolicy(
    max_disk_usage_percent=100, min_free_gb=0, retention_rules=(DeleteRetired(after_days=1),)
)
DAY_MS = 86_400_000
SIZE_BYTES = 1_000_000


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def retired(catalog: Catalog, root: Path, name: str, *, parts: int = 1) -> ModelEntry:
    """A model of ours that is retired since the beginning of time."""
    folder = root / name
    folder.mkdir(parents=True)
    for number in range(parts):
        (folder / f"{number}.gguf").write_bytes(b"x" * SIZE_BYTES)
    entry = model_entry(name, path=folder / "0.gguf")
    files = tuple(
        entry.all_files()[0].model_copy(update={"path": folder / f"{number}.gguf"})
        for number in range(parts)
    )
    catalog.put(entry.model_copy(update={"store_path": folder, "files": files}))
    return catalog.retire(name, now_ms=0)


class Answers:
    """What is in use, a new answer each time it is asked, the last one from then on."""

    def __init__(self, *answers: Mapping[str, str]) -> None:
        self._answers: Iterator[Mapping[str, str]] = iter(answers)
        self._latest: Mapping[str, str] = {}

    def __call__(self) -> Mapping[str, str]:
        self._latest = next(self._answers, self._latest)
        return self._latest


def test_a_dry_run_deletes_nothing_and_the_run_what_it_said(catalog: Catalog, root: Path) -> None:
    entry = retired(catalog, root, "old", parts=3)
    catalog.put(model_entry("foreign"))
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=2 * DAY_MS)
    assert entry.path.exists()
    assert plan.freed_bytes >= 3 * SIZE_BYTES
    sent = GcPlan.model_validate_json(plan.model_dump_json())
    assert sent == plan
    result = run_gc(catalog, sent, in_use=dict)
    assert [step.outcome for step in result.steps] == [GcOutcome.DELETED]
    assert result.freed_bytes == plan.freed_bytes
    assert list(root.iterdir()) == []
    assert [each.id for each in catalog.list()] == ["foreign"]
    assert catalog.removals.pending() == ()


def test_what_becomes_needed_after_the_plan_is_kept(catalog: Catalog, root: Path) -> None:
    entry = retired(catalog, root, "old")
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=2 * DAY_MS)
    for answers in (Answers({"old": "a task waits"}), Answers({}, {"old": "a pool loads it"})):
        (step,) = run_gc(catalog, plan, in_use=answers).steps
        assert step.outcome is GcOutcome.IN_USE
        assert (catalog.get("old"), entry.path.exists()) == (entry, True)


def test_an_entry_that_changed_after_the_plan_is_kept(catalog: Catalog, root: Path) -> None:
    entry = retired(catalog, root, "old")
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=2 * DAY_MS)
    catalog.touch("old", 5)
    (step,) = run_gc(catalog, plan, in_use=dict).steps
    assert (step.outcome, entry.path.exists()) == (GcOutcome.CHANGED, True)


def test_a_model_retired_at_an_unknown_time_is_dated_by_the_first_look(
    catalog: Catalog, root: Path
) -> None:
    retired(catalog, root, "old")
    catalog.set_state("old", ModelState.ACTIVE)
    catalog.retire("old")
    first = prepare_gc(catalog, POLICY, in_use=dict, now_ms=5 * DAY_MS)
    assert first.deletions == ()
    later = prepare_gc(catalog, POLICY, in_use=dict, now_ms=6 * DAY_MS)
    assert len(later.deletions) == 1


def test_hard_links_on_a_real_disk_are_seen(catalog: Catalog, root: Path) -> None:
    one, two = retired(catalog, root, "one"), retired(catalog, root, "two")
    two.path.unlink()
    two.path.hardlink_to(one.path)
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=2 * DAY_MS)
    assert [each.freed_bytes > 0 for each in plan.deletions] == [False, True]
    outside = root / "kept.gguf"
    outside.hardlink_to(one.path)
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=2 * DAY_MS)
    assert plan.freed_bytes == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_files_that_cannot_be_deleted_are_told_and_tried_again(
    catalog: Catalog, root: Path
) -> None:
    retired(catalog, root, "old")
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=2 * DAY_MS)
    root.chmod(0o500)
    (step,) = run_gc(catalog, plan, in_use=dict).steps
    assert step.outcome is GcOutcome.FAILED
    root.chmod(0o700)
    (step,) = run_gc(catalog, plan.model_copy(update={"decisions": ()}), in_use=dict).steps
    assert (step.outcome, list(root.iterdir())) == (GcOutcome.DELETED, [])
    assert catalog.removals.pending() == ()


def test_what_lies_in_the_way_is_left_alone(catalog: Catalog, root: Path) -> None:
    retired(catalog, root, "old")
    in_the_way = root / ".trash-0-old"
    in_the_way.mkdir()
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=2 * DAY_MS)
    (step,) = run_gc(catalog, plan, in_use=dict).steps
    assert (step.outcome, list(root.iterdir())) == (GcOutcome.DELETED, [in_the_way])


def test_two_collections_at_once_are_refused(catalog: Catalog, root: Path) -> None:
    retired(catalog, root, "old")
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=2 * DAY_MS)
    entered, gate = threading.Event(), threading.Event()

    def wait() -> dict[str, str]:
        entered.set()
        assert gate.wait(10)
        return {}

    thread = threading.Thread(target=run_gc, args=(catalog, plan), kwargs={"in_use": wait})
    thread.start()
    assert entered.wait(10)
    with pytest.raises(CatalogStoreError, match="another collection is running") as caught:
        run_gc(catalog, plan, in_use=dict)
    gate.set()
    thread.join()
    assert caught.value.retriable
    assert catalog.list() == ()


def test_a_purge_deletes_now_but_neither_what_is_pinned_nor_what_is_needed(
    catalog: Catalog, root: Path
) -> None:
    entry = retired(catalog, root, "old")
    assert purge(catalog, "old", in_use=lambda: {"old": "served"}).outcome is GcOutcome.IN_USE
    catalog.pin("old")
    with pytest.raises(ModelPinnedError):
        purge(catalog, "old", in_use=dict)
    catalog.pin("old", pinned=False)
    step = purge(catalog, "old", in_use=dict)
    assert (step.outcome, step.freed_bytes >= SIZE_BYTES) == (GcOutcome.DELETED, True)
    assert not entry.path.exists()
    with pytest.raises(ModelUnknownError):
        purge(catalog, "old", in_use=dict)


def test_a_purge_of_a_foreign_file_leaves_the_file(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"mine")
    catalog.put(model_entry("mine", path=path))
    assert purge(catalog, "mine", in_use=dict).outcome is GcOutcome.DELETED
    assert (path.exists(), catalog.list()) == (True, ())
