import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store import (
    ArtifactCorruptError,
    ArtifactInfo,
    LocalArtifactStore,
    StoreUnavailableError,
)


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifactStore:
    return LocalArtifactStore(tmp_path)


def object_path(folder: Path, info: ArtifactInfo) -> Path:
    digits = info.artifact_id.removeprefix("sha256:")
    return folder / "objects" / digits[:2] / digits


def test_making_a_store_touches_no_disk(tmp_path: Path) -> None:
    LocalArtifactStore(tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_a_store_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert await LocalArtifactStore(tmp_path / "new").list() == ()


async def test_another_store_on_the_same_folder_sees_everything(
    store: LocalArtifactStore, tmp_path: Path
) -> None:
    info = await store.put({"a": 1}, owner="x", now_ms=1, tags=["t"])
    again = LocalArtifactStore(tmp_path)
    assert (await again.get(info.artifact_id, owner="x")).content == {"a": 1}
    assert await again.list(tag="t") == (info,)


async def test_the_file_is_the_canonical_content(store: LocalArtifactStore, tmp_path: Path) -> None:
    info = await store.put({"b": 1, "a": "é"}, owner="x", now_ms=1)
    assert object_path(tmp_path, info).read_bytes() == '{"a":"é","b":1}'.encode()


async def test_damaged_content_is_told_and_mended_by_storing_it_again(
    store: LocalArtifactStore, tmp_path: Path
) -> None:
    info = await store.put("content", owner="x", now_ms=1)
    object_path(tmp_path, info).write_text('"other"')
    with pytest.raises(ArtifactCorruptError, match=info.artifact_id):
        await store.get(info.artifact_id)
    await store.put("content", owner="x", now_ms=2)
    assert (await store.get(info.artifact_id)).content == "content"


async def test_damaged_claims_are_told(store: LocalArtifactStore, tmp_path: Path) -> None:
    info = await store.put("content", owner="x", now_ms=1)
    digits = info.artifact_id.removeprefix("sha256:")
    (tmp_path / "claims" / digits[:2] / digits).write_text(json.dumps(["x"]))
    with pytest.raises(ArtifactCorruptError, match="owners"):
        await store.get(info.artifact_id)


async def test_what_a_crash_left_half_done_does_not_exist(
    store: LocalArtifactStore, tmp_path: Path
) -> None:
    info = await store.put("content", owner="x", now_ms=1, tags=["t"])
    digits = info.artifact_id.removeprefix("sha256:")
    claims = tmp_path / "claims" / digits[:2]
    (claims / digits).rename(claims / ".tmp-left-over")
    assert await store.list() == ()
    assert await store.list(tag="t") == ()


async def test_storing_leaves_no_temporary_file(store: LocalArtifactStore, tmp_path: Path) -> None:
    await asyncio.gather(*(store.put(n % 3, owner="x", now_ms=n) for n in range(12)))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if path.parent.parent.name == "objects"]) == 3
    assert not [path for path in files if path.name.startswith(".")]


async def test_two_processes_write_the_same_artifact_and_lose_no_owner(
    store: LocalArtifactStore, tmp_path: Path
) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from artifact_store import LocalArtifactStore\n"
        "store = LocalArtifactStore(pathlib.Path(sys.argv[1]))\n"
        "async def main():\n"
        "    for n in range(10):\n"
        "        await store.put('one', owner=f'{sys.argv[2]}{n}', now_ms=n)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [writer.wait(timeout=30) for writer in writers] == [0, 0]
    (info,) = await store.list()
    assert len(info.owners) == 20


async def test_a_storage_that_fails_is_an_error_of_the_library(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = LocalArtifactStore(tmp_path / "file")
    with pytest.raises(StoreUnavailableError) as caught:
        await store.put(1, owner="x", now_ms=1)
    assert caught.value.retriable


async def test_files_are_for_the_owner_of_the_process_only(
    store: LocalArtifactStore, tmp_path: Path
) -> None:
    info = await store.put("content", owner="x", now_ms=1)
    assert object_path(tmp_path, info).stat().st_mode & 0o077 == 0
