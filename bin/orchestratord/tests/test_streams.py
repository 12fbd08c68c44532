"""Event streams: bytes, ends, slow readers, and cursors that are always closed."""

import asyncio
import socket
from uuid import UUID, uuid4

import pytest

from orchestratord.config import Settings
from orchestratord.testing import (
    FakeCursor,
    Shell,
    frame,
    read_chunk,
    read_chunks,
    running_shell,
)

TASK = {"prompt": "hello"}
TASK_ID = "0a9e8c3e-53d9-4d9e-9b3b-4c9f5c1e7a10"


async def admitted(shell: Shell) -> str:
    answer = await shell.ask("POST", "/v2/tasks", body={**TASK, "task_id": TASK_ID})
    assert answer.status == 202
    return f"/v2/tasks/{TASK_ID}/events"


async def test_a_stream_gives_its_frames_and_ends(shell: Shell) -> None:
    path = await admitted(shell)
    frames = [frame(1, "started", {}), frame(2, "token", {"t": "a"}), frame(3, "end", {})]
    shell.tasks.cursor = cursor = FakeCursor(*frames, ended=True)
    reader, _, headers = await shell.stream("GET", path)
    assert await read_chunks(reader) == b"".join(frames)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-task-id"] == TASK_ID
    assert headers["location"] == f"/v2/tasks/{TASK_ID}"
    assert headers["x-correlation-id"]
    await cursor.closed.wait()


async def test_the_one_request_form_streams_what_it_admits(shell: Shell) -> None:
    reader, _, headers = await shell.stream("POST", "/v2/tasks", body=TASK)
    assert await read_chunks(reader) == frame(1, "end", {})
    assert shell.tasks.opened == [{"last_event_id": None, "verbose": False, "one_request": True}]
    assert UUID(headers["x-task-id"])


async def test_a_stream_that_begins_late_begins_once(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = cursor = FakeCursor()
    opening = asyncio.ensure_future(shell.stream("GET", path))
    while not shell.tasks.opened:
        await asyncio.sleep(0)
    cursor.put(frame(1, "started", {}))
    reader, _, _ = await opening
    assert await read_chunk(reader) == frame(1, "started", {})
    for _ in range(2):
        assert await read_chunk(reader) == b": keep-alive\n\n"
    cursor.put(frame(2, "end", {}), last=True)
    assert (await read_chunks(reader)).endswith(frame(2, "end", {}))


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("TEXT/event-stream; charset=utf-8", True),
        ("text/event-stream, application/json;q=0.5", True),
        ("application/json", False),
        ("*/*", False),
        ("text/event-stream;q=0, application/json", False),
    ],
)
async def test_accept_chooses_the_form(shell: Shell, accept: str, streams: bool) -> None:
    answer = await shell.ask("POST", "/v2/tasks", body=TASK, headers={"Accept": accept})
    assert answer.status == (200 if streams else 202)
    assert bool(shell.tasks.opened) is streams


async def test_frames_arrive_as_they_are_made(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = cursor = FakeCursor()
    reader, _, _ = await shell.stream("GET", path)
    for number in (1, 2, 3):
        cursor.put(frame(number, "token", {}))
        chunk = await read_chunk(reader)
        while chunk == b": keep-alive\n\n":
            chunk = await read_chunk(reader)
        assert chunk == frame(number, "token", {})


async def test_an_idle_stream_is_kept_alive_by_comments(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = FakeCursor()
    reader, _, _ = await shell.stream("GET", path)
    assert await read_chunk(reader) == b": keep-alive\n\n"
    assert await read_chunk(reader) == b": keep-alive\n\n"


async def test_the_last_event_id_and_verbose_reach_the_log(shell: Shell) -> None:
    path = await admitted(shell)
    headers = {"Last-Event-ID": "7", "Accept": "text/event-stream"}
    await shell.ask("GET", f"{path}?verbose=true", headers=headers)
    assert shell.tasks.opened == [{"last_event_id": 7, "verbose": True, "one_request": False}]


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "", "9" * 40, "\u0663"])
async def test_a_malformed_last_event_id_is_refused(shell: Shell, given: str) -> None:
    path = await admitted(shell)
    answer = await shell.ask("GET", path, headers={"Last-Event-ID": given})
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_PARAMS")


async def test_a_stream_that_was_read_to_its_end_is_204(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = None
    answer = await shell.ask("GET", path, headers={"Last-Event-ID": "9"})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["x-correlation-id"]


async def test_a_stream_of_no_task_is_404_and_not_a_stream(shell: Shell) -> None:
    answer = await shell.ask(
        "GET", f"/v2/tasks/{uuid4()}/events", headers={"Accept": "text/event-stream"}
    )
    assert (answer.status, answer.json()["code"]) == (404, "TASK_NOT_FOUND")


async def test_events_as_plain_json_are_not_acceptable(shell: Shell) -> None:
    path = await admitted(shell)
    answer = await shell.ask("GET", path, headers={"Accept": "application/json"})
    assert answer.status == 406


async def test_a_head_of_a_stream_is_refused(shell: Shell) -> None:
    path = await admitted(shell)
    _, writer = await shell.connect()
    writer.close()
    reader, writer = await shell.connect()
    writer.write(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b"405" in await reader.readline()


async def test_a_reader_that_leaves_closes_its_cursor(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = cursor = FakeCursor(frame(1, "started", {}))
    reader, writer, _ = await shell.stream("GET", path)
    await read_chunk(reader)
    writer.close()
    async with asyncio.timeout(5):
        await cursor.closed.wait()
    assert shell.observer.open_streams == 0


async def test_a_reader_that_fell_off_is_cut_without_an_end(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = cursor = FakeCursor(frame(1, "started", {}))
    reader, _, _ = await shell.stream("GET", path)
    await read_chunk(reader)
    cursor.fall_off()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
        await read_chunks(reader)
    await cursor.closed.wait()


async def test_a_mistake_before_the_first_frame_is_a_500(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = cursor = FakeCursor()
    cursor.fail(RuntimeError("a bug"))
    answer = await shell.ask("GET", path)
    assert (answer.status, answer.json()["code"]) == (500, "INTERNAL")
    assert cursor.closed.is_set()


async def test_a_mistake_in_the_middle_breaks_the_stream_off(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = cursor = FakeCursor(frame(1, "started", {}))
    reader, _, _ = await shell.stream("GET", path)
    await read_chunk(reader)
    cursor.fail(RuntimeError("a bug"))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
        await read_chunks(reader)
    assert cursor.closed.is_set()


async def test_a_server_that_stops_closes_what_still_streams(settings: Settings) -> None:
    async with running_shell(settings) as shell:
        path = await admitted(shell)
        shell.tasks.cursor = cursor = FakeCursor(frame(1, "started", {}))
        reader, _, _ = await shell.stream("GET", path)
        await read_chunk(reader)
    assert cursor.closed.is_set()


async def never_reading(shell: Shell, path: str) -> socket.socket:
    """Open a stream with a small receive buffer and never read it."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(reader, ("127.0.0.1", shell.port))
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    await loop.sock_sendall(reader, request.encode())
    return reader


def plenty(count: int = 1000) -> list[bytes]:
    """More frames than the buffers of both sockets hold."""
    return [frame(number, "token", {"t": "x" * 16_000}) for number in range(count)]


async def test_a_reader_that_never_reads_is_not_read_for(shell: Shell) -> None:
    path = await admitted(shell)
    frames = plenty()
    shell.tasks.cursor = cursor = FakeCursor(*frames)
    with await never_reading(shell, path):
        async with asyncio.timeout(10):
            await cursor.closed.wait()  # by the limit of two seconds without a byte taken
    assert cursor.reads < 500


async def test_a_reader_that_never_reads_is_cut_once_the_log_went_past(shell: Shell) -> None:
    path = await admitted(shell)
    shell.tasks.cursor = cursor = FakeCursor(*plenty())
    with await never_reading(shell, path):
        cursor.fell_off = True
        async with asyncio.timeout(5):
            await cursor.closed.wait()


async def test_a_slow_reader_gets_everything_and_delays_nobody(shell: Shell) -> None:
    path = await admitted(shell)
    slow_frames = plenty(400)
    shell.tasks.cursor = slow = FakeCursor(*slow_frames, ended=True)
    slow_reader, _, _ = await shell.stream("GET", path)
    shell.tasks.cursor = FakeCursor(frame(1, "end", {}), ended=True)
    quick_reader, _, _ = await shell.stream("GET", path)
    async with asyncio.timeout(5):
        assert await read_chunks(quick_reader) == frame(1, "end", {})
    assert not slow.closed.is_set()
    assert await read_chunks(slow_reader) == b"".join(slow_frames)
