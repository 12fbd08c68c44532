"""Whenever a writer is killed, the next one finds the old state or the new one, never a third."""

import json
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from catalog_core import Catalog, EngineEntry, ModelEntry, run_gc
from catalog_core.gc_plan import GcAction, GcDecision, GcPlan, GcReason
from catalog_core.testing import crash_at, model_entry

LEAST_CRASHES = 10
"""Fewer would mean that the writes are not seen."""

State = tuple[object, ...]
Mutation = Callable[[Catalog], object]


def state_of(directory: Path) -> State:
    catalog = Catalog(directory, on_damage=lambda path, reason: pytest.fail(reason))
    assert catalog.damaged() == ()
    return (catalog.list(), catalog.engines(), catalog.removals.pending())


def filled(directory: Path) -> Catalog:
    catalog = Catalog(directory)
    for name in ("one", "two"):
        catalog.put(model_entry(name))
    catalog.retire("two", now_ms=5)
    return catalog


def version_1(directory: Path) -> Catalog:
    """As version 1 wrote it: without what version 2 added."""
    filled(directory)
    path = directory / "catalog.json"
    raw = json.loads(path.read_bytes())
    del raw["removals"]
    for model in raw["models"].values():
        for added in ("format", "files", "store_path", "retired_ms", "last_verification"):
            del model[added]
    path.write_text(json.dumps({**raw, "schema_version": 1}))
    return Catalog(directory)


def nothing(directory: Path) -> Catalog:
    return Catalog(directory)


@pytest.mark.parametrize("begin", [nothing, filled, version_1])
def test_an_entry_is_made_wholly_or_not_at_all(
    tmp_path: Path, begin: Callable[[Path], Catalog]
) -> None:
    crashes = crash_everywhere(
        tmp_path, begin, lambda catalog: catalog.put(model_entry("three", now_ms=7))
    )
    assert crashes >= LEAST_CRASHES


@pytest.mark.parametrize(
    "mutate",
    [
        lambda catalog: catalog.put_engine(
            EngineEntry(engine="llamacpp", version="1", build_ref="pkg==1")
        ),
        lambda catalog: catalog.retire("one", now_ms=9),
        lambda catalog: catalog.delete("one"),
    ],
    ids=["put_engine", "retire", "delete"],
)
def test_a_change_is_made_wholly_or_not_at_all(tmp_path: Path, mutate: Mutation) -> None:
    crash_everywhere(tmp_path, filled, mutate)


def crash_everywhere(tmp_path: Path, begin: Callable[[Path], Catalog], mutate: Mutation) -> int:
    """Kill at the first call, the second, … until the change gets through."""
    fresh = tmp_path / "fresh"
    mutate(begin(fresh))
    after = state_of(fresh)
    for number in count():
        directory = tmp_path / str(number)
        catalog = begin(directory)
        before = state_of(directory)
        is_killed = crash_at(number, lambda catalog=catalog: mutate(catalog))
        found = state_of(directory)
        assert found in (before, after)
        if not is_killed:
            assert found == after
            return number
        # The lock is free, and what the dead one left disturbs nobody.
        Catalog(directory).put(model_entry("later"))
        assert "later" in [entry.id for entry in Catalog(directory).list()]
        shutil.rmtree(directory)
    raise AssertionError


def test_a_collection_that_is_killed_is_finished_by_the_next_one(tmp_path: Path) -> None:
    """At every point: an entry has all its files, and in the end both are gone."""
    for number in count():
        root = tmp_path / str(number)
        entry = stored(root, "big")
        catalog = Catalog(root)
        catalog.put(entry)
        plan = plan_to_delete(entry)
        is_killed = crash_at(number, lambda c=catalog, p=plan: run_gc(c, p, in_use=dict))
        if Catalog(root).list():
            assert all(file.path.exists() for file in entry.all_files())
        elif is_killed:
            # A new fetch of the same model in between must not lose its files.
            assert Catalog(root).removals.pending() or not list(root.glob("*.trash*"))
        run_gc(Catalog(root), plan, in_use=dict)
        assert state_of(root) == ((), (), ())
        assert [path.name for path in root.iterdir() if path.is_dir()] == []
        if not is_killed:
            break
    assert number > 2 * LEAST_CRASHES


def test_a_model_that_comes_back_while_it_is_removed_keeps_its_files(tmp_path: Path) -> None:
    for number in count():
        root = tmp_path / str(number)
        entry = stored(root, "big")
        Catalog(root).put(entry)
        plan = plan_to_delete(entry)
        is_killed = crash_at(number, lambda r=root, p=plan: run_gc(Catalog(r), p, in_use=dict))
        again = stored(root, "big")
        Catalog(root).put(again)
        run_gc(Catalog(root), plan_to_delete(), in_use=dict)
        assert Catalog(root).list() == (again,)
        assert again.path.exists()
        if not is_killed:
            break


def stored(root: Path, name: str) -> ModelEntry:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.gguf").write_bytes(b"model")
    entry = model_entry(name, path=folder / "m.gguf")
    return entry.model_copy(update={"store_path": folder})


def plan_to_delete(*entries: ModelEntry) -> GcPlan:
    return GcPlan(
        made_ms=0,
        decisions=tuple(
            GcDecision(
                model_id=entry.id,
                action=GcAction.DELETE,
                reason=GcReason.RETIRED_LONG,
                explanation="",
                entry=entry,
            )
            for entry in entries
        ),
        total_bytes=0,
        free_bytes=0,
        wanted_free_bytes=0,
        freed_bytes=0,
        shortfall_bytes=0,
    )


def test_an_index_of_version_1_is_lifted_and_kept_for_the_version_that_wrote_it(
    tmp_path: Path,
) -> None:
    catalog = version_1(tmp_path)
    old = (tmp_path / "catalog.json").read_bytes()
    one, two = catalog.list()
    assert (one.files, one.store_path, two.retired_ms) == ((), None, None)
    assert (tmp_path / "catalog.json").read_bytes() == old
    catalog.date_retired(77)
    assert catalog.get("two").retired_ms == 77
    assert (tmp_path / "catalog.v1.json").read_bytes() == old
    assert json.loads((tmp_path / "catalog.json").read_bytes())["schema_version"] == 2
