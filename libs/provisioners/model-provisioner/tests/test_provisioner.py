import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from api_types import ErrorCode, PreparationStep
from catalog_core import (
    Catalog,
    DigestMismatchError,
    ModelFileError,
    ModelReferenceError,
    ModelState,
    file_digest,
)
from catalog_core.testing import gguf_bytes
from model_provisioner import ModelProvisioner

LARGE_BYTES = 200_000_000


class GatedClock:
    """Read once for each entry that is made, by the worker, which waits here for the gate."""

    def __init__(self) -> None:
        self.reads = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> int:
        self.reads += 1
        assert self.gate.wait(timeout=10)
        return 1000 + self.reads


@pytest.fixture
def clock() -> GatedClock:
    return GatedClock()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


@pytest.fixture
def provisioner(catalog: Catalog, tmp_path: Path, clock: GatedClock) -> ModelProvisioner:
    return ModelProvisioner(catalog, base=tmp_path, now_ms=clock)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny Model.gguf"
    path.write_bytes(gguf_bytes())
    return path


async def first(steps: "asyncio.Queue[PreparationStep]") -> PreparationStep:
    return await asyncio.wait_for(steps.get(), timeout=10)


async def test_a_file_is_entered_with_its_facts(
    provisioner: ModelProvisioner, catalog: Catalog, model: Path
) -> None:
    entry = await provisioner.ensure("file:Tiny Model.gguf")
    assert catalog.list() == (entry,)
    assert (entry.id, entry.reference, entry.path) == ("tiny-model", f"file:{model}", model)
    assert (entry.digest, entry.size_bytes) == (file_digest(model), model.stat().st_size)
    assert (entry.header.context_length, entry.created_ms) == (4096, 1001)


async def test_an_id_of_the_catalog_is_a_reference_and_is_offered_again(
    provisioner: ModelProvisioner, catalog: Catalog, model: Path
) -> None:
    entry = await provisioner.ensure(str(model))
    catalog.retire(entry.id)
    assert (await provisioner.ensure(entry.id)).state is ModelState.ACTIVE


async def test_an_unchanged_file_is_not_read_again(
    provisioner: ModelProvisioner, model: Path
) -> None:
    entry = await provisioner.ensure(str(model))
    stat = model.stat()
    with model.open("r+b") as file:
        file.write(b"xxxx")
    os.utime(model, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = await provisioner.ensure(str(model))
    assert again.digest == entry.digest


async def test_a_changed_file_keeps_its_id_and_pin_but_not_its_digest(
    provisioner: ModelProvisioner, catalog: Catalog, model: Path
) -> None:
    entry = await provisioner.ensure(str(model))
    catalog.pin(entry.id)
    model.write_bytes(gguf_bytes() + b"\0")
    again = await provisioner.ensure(str(model))
    assert (again.id, again.pinned, again.created_ms) == (entry.id, True, entry.created_ms)
    assert again.digest == file_digest(model) != entry.digest


async def test_a_link_is_entered_under_its_own_name(
    provisioner: ModelProvisioner, model: Path, tmp_path: Path
) -> None:
    link = tmp_path / "nice.gguf"
    link.symlink_to(model)
    assert (await provisioner.ensure("nice.gguf")).id == "nice"


async def test_any_part_and_the_folder_of_a_split_model_mean_the_whole(
    provisioner: ModelProvisioner, catalog: Catalog, tmp_path: Path
) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    for number in range(2):
        split = {"split.no": number, "split.count": 2, "general.architecture": "llama"}
        (folder / f"big-0000{number + 1}-of-00002.gguf").write_bytes(gguf_bytes(split))
    names = [f"big/big-0000{number}-of-00002.gguf" for number in (1, 2)]
    entries = [await provisioner.ensure(name) for name in (*names, "file:big")]
    assert catalog.list() == (entries[0],) == (entries[1],) == (entries[2],)
    assert entries[0].path.name == "big-00001-of-00002.gguf"
    assert catalog.verify("big").found == entries[0].digest
    (folder / "big-00002-of-00002.gguf").unlink()
    with pytest.raises(ModelFileError, match="00002-of-00002"):
        await provisioner.ensure("file:big")


async def test_a_wrong_digest_refuses_before_an_entry_is_made(
    provisioner: ModelProvisioner, catalog: Catalog, model: Path
) -> None:
    with pytest.raises(DigestMismatchError, match=file_digest(model)):
        await provisioner.ensure(str(model), expected_digest="0" * 64)
    assert catalog.list() == ()
    right = file_digest(model).upper().replace("SHA256", "sha256")
    assert (await provisioner.ensure(str(model), expected_digest=right)).id == "tiny-model"


async def test_a_source_that_is_not_fetched_is_refused_by_name(
    provisioner: ModelProvisioner,
) -> None:
    with pytest.raises(ModelReferenceError, match="does not fetch from hf:, only from file:"):
        await provisioner.ensure("hf:org/model")


@pytest.mark.parametrize("content", [None, b"", b"no model", gguf_bytes()[:-1]])
async def test_what_is_no_model_is_refused_and_the_step_fails(
    provisioner: ModelProvisioner, catalog: Catalog, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "m.gguf").write_bytes(content)
    steps: list[PreparationStep] = []
    with pytest.raises(ModelFileError) as caught:
        await provisioner.ensure("m.gguf", on_progress=steps.append)
    assert (caught.value.code, steps[-1].status) == (ErrorCode.INVALID_PARAMS, "failed")
    assert caught.value.retriable == (content is None)
    assert catalog.list() == ()


async def test_progress_counts_up_to_all_bytes(
    provisioner: ModelProvisioner, tmp_path: Path
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes())
    os.truncate(path, 20_000_000)
    steps: list[PreparationStep] = []
    await provisioner.ensure("m.gguf", on_progress=steps.append)
    done = [step.bytes_done for step in steps]
    assert done == sorted(done, key=lambda value: value or 0)
    assert len(set(done)) >= 4
    assert (steps[-1].status, done[-1]) == ("done", 20_000_000)
    assert {step.bytes_total for step in steps} == {20_000_000}


async def test_two_callers_share_one_piece_of_work(
    provisioner: ModelProvisioner, clock: GatedClock, model: Path
) -> None:
    steps: asyncio.Queue[PreparationStep] = asyncio.Queue()
    clock.gate.clear()
    async with asyncio.TaskGroup() as group:
        one = group.create_task(provisioner.ensure(str(model), on_progress=steps.put_nowait))
        await first(steps)
        late: asyncio.Queue[PreparationStep] = asyncio.Queue()
        two = group.create_task(provisioner.ensure(model.name, on_progress=late.put_nowait))
        await first(late)
        clock.gate.set()
    assert one.result() == two.result()
    assert clock.reads == 1


async def test_one_caller_may_leave_while_another_still_waits(
    provisioner: ModelProvisioner, clock: GatedClock, model: Path
) -> None:
    clock.gate.clear()
    joined: asyncio.Queue[PreparationStep] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        leaving, staying = (
            group.create_task(provisioner.ensure(str(model), on_progress=joined.put_nowait))
            for _ in range(2)
        )
        await first(joined)
        await first(joined)
        leaving.cancel()
        await asyncio.wait((leaving,))
        clock.gate.set()
    assert leaving.cancelled()
    assert staying.result().id == "tiny-model"
    assert clock.reads == 1


async def test_the_work_stops_when_the_last_caller_leaves_and_may_begin_anew(
    provisioner: ModelProvisioner, catalog: Catalog, tmp_path: Path
) -> None:
    path = tmp_path / "large.gguf"
    path.write_bytes(gguf_bytes())
    os.truncate(path, LARGE_BYTES)
    steps: list[PreparationStep] = []
    leave: list[Callable[[], object]] = []

    def leave_at_once(step: PreparationStep) -> None:
        steps.append(step)
        leave[0]()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(provisioner.ensure(str(path), on_progress=leave_at_once))
        leave.append(task.cancel)
    assert steps[-1].bytes_done is not None
    assert steps[-1].bytes_done < LARGE_BYTES
    os.truncate(path, 10_000_000)
    entry = await provisioner.ensure(str(path))
    assert (entry.size_bytes, catalog.list()) == (10_000_000, (entry,))
