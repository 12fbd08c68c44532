"""A fetched model that leaves the disk, and a process that dies while one is given its place."""

import hashlib
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

from catalog_core import (
    Catalog,
    CatalogGcPolicy,
    DeleteRetired,
    GcOutcome,
    ModelRef,
    prepare_gc,
    run_gc,
)
from catalog_core.testing import crash_at, gguf_bytes
from model_provisioner import ModelProvisioner
from model_provisioner.store import FetchNotes, FetchPlace, FileNote
from model_provisioner.testing import ModelServer

MakeProvisioner = Callable[..., ModelProvisioner]
POLICY = CatalogGcPolicy(min_free_gb=0, retention_rules=(DeleteRetired(after_days=0),))
REFERENCE = "hf:org/tiny/tiny.gguf"


async def test_a_collected_model_leaves_nothing_and_can_be_fetched_again(
    make: MakeProvisioner, catalog: Catalog, server: ModelServer, store: Path
) -> None:
    server.add_repository("org/tiny", {"tiny.gguf": gguf_bytes()})
    entry = await make().ensure(REFERENCE)
    catalog.retire(entry.id, now_ms=5)
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=6, directory=store)
    (step,) = run_gc(catalog, plan, in_use=dict).steps
    assert step.outcome is GcOutcome.DELETED
    assert [path.name for path in store.iterdir()] == [".partial"]
    assert await make().ensure(REFERENCE) != entry
    assert entry.path.exists()


async def test_a_model_that_is_being_ensured_is_not_collected(
    make: MakeProvisioner, catalog: Catalog, server: ModelServer, store: Path
) -> None:
    server.add_repository("org/tiny", {"tiny.gguf": gguf_bytes()})
    provisioner = make()
    entry = await provisioner.ensure(REFERENCE)
    catalog.retire(entry.id, now_ms=5)
    plan = prepare_gc(catalog, POLICY, in_use=dict, now_ms=6, directory=store)

    def in_use() -> dict[str, str]:
        busy = provisioner.preparing()
        return {each.id: "it is fetched" for each in catalog.list() if each.reference in busy}

    outcomes = []
    async for _ in provisioner.pull(REFERENCE):
        outcomes += [step.outcome for step in run_gc(catalog, plan, in_use=in_use).steps]
    assert GcOutcome.DELETED not in outcomes
    assert (catalog.get(entry.id), entry.path.exists()) == (entry, True)


async def test_a_model_gets_its_place_wholly_or_not_at_all(
    make: MakeProvisioner, catalog: Catalog, server: ModelServer, store: Path
) -> None:
    data = gguf_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    server.add_repository("org/tiny", {"tiny.gguf": data})
    for number in count():
        place = FetchPlace(store, ModelRef.parse(REFERENCE))
        place.files.mkdir(parents=True)
        (place.files / "tiny.gguf").write_bytes(data)
        note = FileNote(promised_digest=digest, digest=digest)
        notes = FetchNotes(reference=REFERENCE, files={"tiny.gguf": note})
        place.write_notes(notes)
        is_killed = crash_at(number, lambda place=place, notes=notes: place.admit(notes))
        if place.folder.exists():
            assert (place.folder / "tiny.gguf").read_bytes() == data
        entry = await make().ensure(REFERENCE)
        assert (entry.digest, entry.path.read_bytes()) == (digest, data)
        if not is_killed:
            break
        catalog.delete(entry.id)
        shutil.rmtree(store)
    assert number > 10
    assert server.bodies("/org/tiny/resolve/main/tiny.gguf") == []
