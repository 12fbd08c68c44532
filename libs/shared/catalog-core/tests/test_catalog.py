import json
import threading
from pathlib import Path

import pytest

from catalog_core import (
    Catalog,
    CatalogStoreError,
    EngineEntry,
    ModelEntry,
    ModelPinnedError,
    ModelState,
    ModelUnknownError,
    Verdict,
    derive_model_id,
    file_digest,
)
from catalog_core.index import IndexFile
from catalog_core.testing import model_entry


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


def test_an_unknown_id_is_told_with_near_names(catalog: Catalog) -> None:
    catalog.put(model_entry("qwen3-8b"))
    with pytest.raises(ModelUnknownError) as caught:
        catalog.get("Qwen3-8")
    assert caught.value.candidates == ("qwen3-8b",)


def test_a_model_is_located_by_all_its_names(catalog: Catalog) -> None:
    entry = catalog.put(model_entry("one"))
    for name in (entry.id, entry.reference, entry.digest, entry.path):
        assert catalog.locate(name) == entry
    assert catalog.locate("two") is None


def test_a_path_is_entered_once_and_ids_are_given_under_the_lock(catalog: Catalog) -> None:
    def make(known: ModelEntry | None, taken: frozenset[str]) -> ModelEntry:
        return known or model_entry(derive_model_id("one", taken), path=path)

    catalog.put(model_entry("one"))
    path = Path("/elsewhere/one.gguf")
    assert [catalog.enter(path, make).id for _ in range(2)] == ["one-2", "one-2"]


def test_a_pinned_model_is_not_deleted(catalog: Catalog) -> None:
    catalog.put(model_entry("one"))
    catalog.pin("one")
    with pytest.raises(ModelPinnedError):
        catalog.delete("one")
    catalog.pin("one", pinned=False)
    assert catalog.delete("one").id == "one"


def test_a_retired_model_is_listed_apart(catalog: Catalog) -> None:
    for name in ("b", "a"):
        catalog.put(model_entry(name))
    catalog.retire("b")
    assert [entry.id for entry in catalog.list()] == ["a", "b"]
    assert [entry.id for entry in catalog.list(ModelState.RETIRED)] == ["b"]


def test_an_older_clock_does_not_make_a_use_older(catalog: Catalog) -> None:
    catalog.put(model_entry("one", now_ms=50))
    assert [catalog.touch("one", now).last_used_ms for now in (70, 60)] == [70, 70]


def test_a_changed_and_a_missing_file_are_found_by_verify(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"model")
    entry = model_entry("one", path=path)
    catalog.put(entry.model_copy(update={"digest": file_digest(path)}))
    assert catalog.verify("one").verdict is Verdict.INTACT
    path.write_bytes(b"mode1")
    assert catalog.verify("one").verdict is Verdict.CHANGED
    path.unlink()
    assert catalog.verify("one").verdict is Verdict.MISSING


def test_engines_are_kept_by_build(catalog: Catalog) -> None:
    old = EngineEntry(engine="llamacpp", version="1", build_ref="pkg==1", flags=("cpu",))
    new = EngineEntry(engine="llamacpp", version="2", build_ref="pkg==2")
    for engine in (new, old, new):
        catalog.put_engine(engine)
    assert catalog.engines() == (old, new)
    assert catalog.delete_engine("llamacpp", "pkg==1")
    assert not catalog.delete_engine("llamacpp", "pkg==1")
    assert catalog.engines() == (new,)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema_version": 2, "models": 3}',
        b'{"schema_version": 1, "models": 3}',
        b'{"schema_version": 0}',
    ],
)
def test_a_damaged_index_is_moved_aside_and_told(tmp_path: Path, damage: bytes) -> None:
    told: list[tuple[Path, str]] = []
    catalog = Catalog(tmp_path, on_damage=lambda path, reason: told.append((path, reason)))
    catalog.put(model_entry("one"))
    (tmp_path / "catalog.json").write_bytes(damage)
    assert catalog.list() == ()
    ((aside, _),) = told
    assert aside.read_bytes() == damage
    assert catalog.damaged() == (aside,)
    catalog.put(model_entry("two"))
    assert [entry.id for entry in catalog.list()] == ["two"]
    assert len(told) == 1


def test_the_index_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text('{"schema_version": 3}')
    catalog = Catalog(tmp_path)
    with pytest.raises(CatalogStoreError, match="newer version"):
        catalog.put(model_entry("one"))
    assert json.loads((tmp_path / "catalog.json").read_text()) == {"schema_version": 3}


def test_two_catalogs_on_one_directory_lose_no_change(tmp_path: Path) -> None:
    def fill(letter: str) -> None:
        catalog = Catalog(tmp_path)
        for number in range(15):
            catalog.put(model_entry(f"{letter}{number}"))

    threads = [threading.Thread(target=fill, args=(letter,)) for letter in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Catalog(tmp_path).list()) == 45


def test_a_lock_held_too_long_is_told_and_may_be_tried_again(tmp_path: Path) -> None:
    file = IndexFile(tmp_path, lock_timeout_s=1, on_damage=lambda path, reason: None)
    with file.locked(), pytest.raises(CatalogStoreError, match="held the lock") as caught:
        Catalog(tmp_path, lock_timeout_s=0).put(model_entry("one"))
    assert caught.value.retriable
