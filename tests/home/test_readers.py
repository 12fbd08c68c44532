"""Readers that are slow, or never read: they cost the others nothing, and no memory."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from demo_model import ENDLESS

from .calls import Api, check_grammar, eventually, text_of
from .daemons import Daemon, Place, Pool

READERS = 20
TOKENS = 3_000
GREEDY = {"temperature": 0}
WORDY = {**GREEDY, "logprobs": 20}
"""Frames of a kilobyte and more: some megabytes that a reader falls behind."""
LOG_BYTES = 512 * 1024
FLAT_BYTES = 32 * 1024 * 1024
"""Four bounded logs as Python keeps them; one copy for each reader would be twice as much."""


@pytest.fixture
def daemon(place: Callable[..., Place], models: Path) -> Daemon:
    return place(
        Pool.of(models, ENDLESS, slots=2, ctx=4096),
        event_log_max_bytes=LOG_BYTES,
        shutdown_grace_ms=100,
    ).start()


class Readers:
    """Sockets that hardly hold anything, and that nobody reads unless the test does."""

    def __init__(self, daemon: Daemon) -> None:
        where = urlsplit(daemon.url)
        self._address = (where.hostname, where.port)
        self._open = ExitStack()

    def post(self, **task: object) -> socket.socket:
        """Have a task admitted and its stream opened."""
        body = json.dumps(task)
        return self._send(
            "POST /v2/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )

    def follow(self, task_id: str) -> socket.socket:
        """Open the stream of a task."""
        return self._send(f"GET /v2/tasks/{task_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    def close(self) -> None:
        """Hang up on all of them."""
        self._open.close()

    def _send(self, text: str) -> socket.socket:
        found = self._open.enter_context(socket.socket())
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        found.connect(self._address)
        found.sendall(text.encode())
        found.setblocking(False)
        return found


@pytest.fixture
def readers(daemon: Daemon) -> Iterator[Readers]:
    found = Readers(daemon)
    yield found
    found.close()


async def test_readers_that_never_read_stall_nobody_and_hold_no_memory(
    daemon: Daemon, connect: Callable[[Daemon], Api], readers: Readers
) -> None:
    api = connect(daemon)
    wordy = {"prompt": "1", "max_tokens": TOKENS, "sampling": WORDY}
    await _finished(api, (await api.submit(**wordy))["task_id"])
    before_bytes = daemon.rss_bytes()
    # Two of them hold the slots that their tasks run in, the others follow one more task.
    for _ in range(2):
        readers.post(**wordy)
    followed = (await api.submit(**wordy))["task_id"]
    for _ in range(READERS):
        readers.follow(followed)
    frames = await api.run(prompt="1", max_tokens=TOKENS, sampling=GREEDY)
    check_grammar(frames)
    assert text_of(frames) == ENDLESS.expected_text(TOKENS)
    assert (await _finished(api, followed))["text"] == ENDLESS.expected_text(TOKENS)
    await _check_gone(api, followed)
    states = [task["state"] for task in (await api.get("/v2/tasks"))["tasks"]]
    assert states.count("finished") == len(states) == 5
    assert daemon.rss_bytes() - before_bytes < FLAT_BYTES


async def test_a_reader_of_one_byte_a_second_slows_nobody(
    daemon: Daemon, connect: Callable[[Daemon], Api], readers: Readers
) -> None:
    api = connect(daemon)
    alone_s = await _time(api)
    slow = readers.post(prompt="1", max_tokens=TOKENS, sampling=WORDY)
    loop = asyncio.get_running_loop()

    async def trickle() -> None:
        while True:
            assert await loop.sock_recv(slow, 1)
            await asyncio.sleep(1)

    reading = asyncio.ensure_future(trickle())
    try:
        together_s = await _time(api)
        assert not reading.done()
    finally:
        reading.cancel()
    # Two slots compute at once, on cores that others use as well.
    assert together_s < 6 * alone_s + 2


async def test_a_reader_that_comes_back_too_late_is_told_that_frames_are_gone(
    daemon: Daemon, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(daemon)
    accepted = await api.submit(prompt="1", max_tokens=TOKENS, sampling=WORDY)
    task = await _finished(api, accepted["task_id"])
    assert task["text"] == ENDLESS.expected_text(TOKENS)
    await _check_gone(api, accepted["task_id"])


async def _finished(api: Api, task_id: str) -> dict[str, object]:
    async def look() -> dict[str, object] | None:
        task: dict[str, object] = await api.get(f"/v2/tasks/{task_id}")
        return task if task["state"] == "finished" else None

    return await eventually(look, "the task finished", within_s=60)


async def _check_gone(api: Api, task_id: str) -> None:
    answer = await api.call("GET", f"/v2/tasks/{task_id}/events", headers={"Last-Event-ID": "1"})
    assert (answer.status, answer.json()["code"]) == (410, "EVENTS_EXPIRED")


async def _time(api: Api) -> float:
    began_s = time.monotonic()
    frames = await api.run(prompt="1", max_tokens=2_000, sampling=GREEDY)
    assert text_of(frames) == ENDLESS.expected_text(2_000)
    return time.monotonic() - began_s
