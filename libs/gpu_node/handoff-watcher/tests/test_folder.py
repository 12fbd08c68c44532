import os
from collections.abc import Callable
from pathlib import Path

import pytest

from handoff_watcher import HandoffPayload
from handoff_watcher.folder import MAX_FILE_BYTES, HandoffFolder

MakePayload = Callable[..., HandoffPayload]
LATER_NS = 2**62


@pytest.fixture
def folder(tmp_path: Path) -> HandoffFolder:
    return HandoffFolder(tmp_path)


def write(path: Path, payload: HandoffPayload) -> None:
    path.write_text(payload.model_dump_json(by_alias=True))


def test_any_json_file_counts_and_nothing_else_does(
    folder: HandoffFolder, make_payload: MakePayload
) -> None:
    write(folder.directory / "anything.json", make_payload())
    write(folder.directory / "x.json.tmp", make_payload())
    assert list(folder.scan(LATER_NS).files) == ["anything.json"]


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    scan = HandoffFolder(tmp_path / "none").scan(LATER_NS)
    assert (scan.files, scan.folder) == ({}, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b'{"pool_id": "a"', "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b"{}", "pool_id: Field required"),
        (b" " * (MAX_FILE_BYTES + 1), f"larger than {MAX_FILE_BYTES} bytes"),
    ],
)
def test_a_malformed_file_gives_its_reason(
    folder: HandoffFolder, content: bytes, reason: str
) -> None:
    (folder.directory / "a.json").write_bytes(content)
    reading = folder.scan(LATER_NS).files["a.json"]
    assert reading.payload is None
    assert reason in (reading.reason or "")


def test_every_prefix_of_a_handoff_is_malformed_and_never_an_exception(
    folder: HandoffFolder, make_payload: MakePayload
) -> None:
    whole = make_payload().model_dump_json(by_alias=True).encode()
    for end in range(0, len(whole), 7):
        (folder.directory / "a.json").write_bytes(whole[:end])
        assert folder.scan(0).files["a.json"].payload is None


def test_the_reason_never_holds_a_value_of_the_file(folder: HandoffFolder) -> None:
    (folder.directory / "a.json").write_text('{"pool_id": {"engine_key": "hunter2hunter2"}}')
    assert "hunter2" not in (folder.scan(LATER_NS).files["a.json"].reason or "")


def test_a_schema_of_the_far_future_is_refused(
    folder: HandoffFolder, make_payload: MakePayload
) -> None:
    write(folder.directory / "a.json", make_payload(schema=99))
    assert folder.scan(LATER_NS).files["a.json"].reason == "schema 99 is too new"


def test_a_pipe_and_a_folder_named_like_a_handoff_do_not_block(folder: HandoffFolder) -> None:
    os.mkfifo(folder.directory / "pipe.json")
    (folder.directory / "folder.json").mkdir()
    files = folder.scan(LATER_NS).files
    assert {reading.reason for reading in files.values()} == {"not a regular file"}


def test_an_unchanged_file_is_not_read_again(
    folder: HandoffFolder, make_payload: MakePayload
) -> None:
    write(folder.directory / "a.json", make_payload())
    first = folder.scan(LATER_NS).files["a.json"]
    assert folder.scan(LATER_NS).files["a.json"] is first


def test_a_second_write_that_leaves_the_stamp_alike_is_seen(
    folder: HandoffFolder, make_payload: MakePayload
) -> None:
    path = folder.directory / "a.json"
    write(path, make_payload(slots=4))
    just_now = path.stat().st_ctime_ns
    folder.scan(just_now)
    write(path, make_payload(slots=5))
    reading = folder.scan(just_now).files["a.json"]
    assert reading.payload is not None
    assert reading.payload.slots == 5


def test_a_file_removed_before_its_adoption_is_not_missed(folder: HandoffFolder) -> None:
    folder.adopt((("gone.json", "p~r.json"),))
    assert folder.scan(LATER_NS).files == {}
