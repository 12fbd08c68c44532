"""What a client does, in as few words as a test can bear."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from .daemons import Daemon, Engine

EVENT_STREAM = {"Accept": "text/event-stream"}
POLL_S = 0.005


@dataclass(frozen=True)
class Frame:
    """One event of a stream."""

    id: int
    event: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body)


def frames_of(body: bytes) -> list[Frame]:
    """Read a whole stream."""
    *blocks, rest = body.decode().split("\n\n")
    assert not rest, f"a frame was cut short: {rest}"
    return [frame for block in blocks if (frame := _frame(block)) is not None]


def _frame(block: str) -> Frame | None:
    fields: dict[str, str] = {}
    for line in block.splitlines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            assert name not in fields, f"a frame with two {name} lines"
            fields[name] = value
    if not fields:
        return None
    return Frame(int(fields["id"]), fields["event"], json.loads(fields["data"]))


class Stream:
    """The frames of an open stream, as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.task_id = response.headers["X-Task-Id"]

    async def __aiter__(self) -> AsyncIterator[Frame]:
        block = b""
        async for line in self.response.content:
            block += line
            if line == b"\n":
                if (frame := _frame(block.decode())) is not None:
                    yield frame
                block = b""
        assert not block, f"a frame was cut short: {block!r}"

    async def until(self, event: str, *, count: int = 1) -> list[Frame]:
        """Read up to the `count`-th frame of a kind, which is the last one returned."""
        seen: list[Frame] = []
        async for frame in self:
            seen.append(frame)
            count -= frame.event == event
            if not count:
                return seen
        raise AssertionError(f"the stream ended before {event}: {seen[-3:]}")

    async def rest(self) -> list[Frame]:
        """Read to the end, first and then look: a reader that looks at each frame may lag."""
        return frames_of(await self.response.read())


class Api:
    """A client of one daemon."""

    def __init__(self, daemon: Daemon, session: aiohttp.ClientSession) -> None:
        self.daemon = daemon
        self.url = daemon.url
        self.session = session

    async def call(self, method: str, path: str, **more: Any) -> Answer:
        """Send any request and read the whole answer."""
        async with self.session.request(method, self.url + path, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str) -> Any:
        """Fetch a document."""
        answer = await self.call("GET", path)
        assert answer.status == 200, answer
        return answer.json()

    async def submit(self, **task: Any) -> dict[str, Any]:
        """Have a task admitted in the two-request form."""
        answer = await self.call("POST", "/v2/tasks", json=task)
        assert answer.status == 202, answer
        accepted: dict[str, Any] = answer.json()
        return accepted

    @asynccontextmanager
    async def open(self, **task: Any) -> AsyncIterator[Stream]:
        """Have a task admitted in the one-request form and read along."""
        async with self.session.post(
            f"{self.url}/v2/tasks", json=task, headers=EVENT_STREAM
        ) as response:
            assert response.status == 200, await response.text()
            yield Stream(response)

    @asynccontextmanager
    async def events(
        self, task_id: str, *, after: int | None = None, verbose: bool = False
    ) -> AsyncIterator[Stream]:
        """Read the stream of a task from its start or from after a frame."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        query = "?verbose=true" if verbose else ""
        async with self.session.get(
            f"{self.url}/v2/tasks/{task_id}/events{query}", headers=headers
        ) as response:
            assert response.status == 200, await response.text()
            yield Stream(response)

    async def run(self, **task: Any) -> list[Frame]:
        """Run a task in the one-request form to its end."""
        async with self.open(**task) as stream:
            return await stream.rest()

    async def read(self, task_id: str, *, after: int | None = None) -> list[Frame]:
        """Read the stream of a task to its end."""
        async with self.events(task_id, after=after) as stream:
            return await stream.rest()

    async def cancel(self, task_id: str) -> None:
        """Cancel a task."""
        answer = await self.call("POST", f"/v2/tasks/{task_id}/cancel")
        assert answer.status == 204, answer

    async def state(self, task_id: str) -> str:
        """Where a task stands."""
        status = await self.get(f"/v2/tasks/{task_id}")
        return str(status["state"])


async def eventually(
    look: Callable[[], Awaitable[Any]], what: str, *, within_s: float = 10.0
) -> Any:
    """Look at another process until it shows something true."""
    end_s = time.monotonic() + within_s
    while not (seen := await look()):
        assert time.monotonic() < end_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(POLL_S)
    return seen


async def engine_busy(engine: Engine, slots: int, *, within_s: float = 10.0) -> float:
    """Wait until so many slots of an engine work, as it says itself; returns how long it took."""
    began_s = time.monotonic()

    async def look() -> bool:
        found = await asyncio.to_thread(engine.slots)
        return bool(found) and sum(slot["is_processing"] for slot in found) == slots

    await eventually(look, f"{slots} busy slots", within_s=within_s)
    return time.monotonic() - began_s


def text_of(frames: list[Frame]) -> str:
    """The text that a stream has told."""
    return "".join(frame.data["t"] for frame in frames if frame.event == "token")


def check_grammar(frames: list[Frame]) -> None:
    """Hold a whole stream of one attempt to the contract."""
    ids = [frame.id for frame in frames]
    assert ids == sorted(set(ids))
    told = [frame.event for frame in frames if frame.event != "metrics"]
    assert told[0] == "started"
    assert told[-1] in {"end", "error"}
    assert all(event in {"token", "result"} for event in told[1:-1]), told
    index = 0
    for frame in frames:
        if frame.event == "token":
            assert frame.data["i"] == index, "token indexes have a gap"
            index += frame.data.get("n", 1)
