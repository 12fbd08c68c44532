"""A load generator that is not the bottleneck: one protocol object a connection."""

import asyncio
import json
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from benchmarks.engine import MODEL, PIECE

WORD = PIECE.encode()
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")
LOCATION = re.compile(rb"(?i)\r\nlocation:\s*(\S+)")
_LAST_CHUNK = b"\r\n0\r\n\r\n"
MOST_UNDER_WAY = 4_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    data: bytes
    tokens: int
    first_s: float | None
    """From the request's last byte to the first token."""
    total_s: float
    late_s: float = 0.0
    """How much later than planned it was asked."""

    @property
    def good(self) -> bool:
        """Whether it is a success with tokens."""
        return self.status == 200 and self.tokens > 0


class Connection(asyncio.Protocol):
    """Carries one request at a time."""

    def __init__(self) -> None:
        self.alive = True
        self.transport: asyncio.Transport
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    @property
    def begun(self) -> bool:
        """Whether anything of the answer has come."""
        return bool(self._parts)

    def ask(self, request: bytes, marker: bytes = WORD) -> asyncio.Future[Answer]:
        """Send a request; its answer comes when it is whole. `marker` begins the first token."""
        self._marker = marker
        self._parts.clear()
        self._status = 0
        self._left: int | None = None
        self._tail = b""
        self._first_s: float | None = None
        self._began_s = time.perf_counter()
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        """Look for the first token and for the end, and for nothing else."""
        self._parts.append(data)
        if self._first_s is None and self._marker in data:
            self._first_s = time.perf_counter() - self._began_s
        if not self._status:
            self._head()
        elif self._left is not None:
            self._left -= len(data)
        self._tail = self._tail[-6:] + data if len(data) < 7 else data
        if self._status and (
            self._left <= 0 if self._left is not None else self._tail.endswith(_LAST_CHUNK)
        ):
            self._end(self._status)

    def _head(self) -> None:
        data = b"".join(self._parts)
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            self._status = int(data[9:12])
            length = _LENGTH.search(data, 0, end)
            self._left = None if length is None else int(length[1]) - (len(data) - end - 4)

    def _end(self, status: int) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            data = b"".join(self._parts)
            total_s = time.perf_counter() - self._began_s
            waiter.set_result(Answer(status, data, data.count(WORD), self._first_s, total_s))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Give up what is under way."""
        self.alive = False
        self._end(0)


def request_bytes(
    method: str,
    path: str,
    body: object = None,
    *,
    accept: str | None = None,
    token: str | None = None,
    task: str | None = None,
) -> bytes:
    """A whole HTTP/1.1 request; a body of bytes is JSON already."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if accept is not None:
        head += f"Accept: {accept}\r\n"
    if token is not None:
        head += f"Authorization: Bearer {token}\r\n"
    if task is not None:
        head += f"X-Llorch-Task: {task}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return f"{head}\r\n".encode() + data


def events_request(location: bytes, *, token: str | None = None) -> bytes:
    """Ask for the events of the task at this path."""
    return request_bytes("GET", f"{location.decode()}/events", token=token)


@dataclass(frozen=True, slots=True)
class Talk:
    """How a client asks for tokens: one request, or one and then its events."""

    request: bytes
    then_events: bool = False
    marker: bytes = WORD
    reconnect: bool = False
    """Use each connection once: the server closes it after a stream without saying so."""
    token: str | None = None
    """What the second request shows; the first has it in its bytes."""
    tls: ssl.SSLContext | None = None

    async def hold(self, connection: Connection) -> Answer:
        """Ask once and read to the end."""
        answer = await connection.ask(self.request, self.marker)
        if not self.then_events or answer.status != 202:
            return answer
        found = LOCATION.search(answer.data)
        assert found is not None
        second = await connection.ask(events_request(found[1], token=self.token), self.marker)
        first_s = None if second.first_s is None else answer.total_s + second.first_s
        total_s = answer.total_s + second.total_s
        return Answer(second.status, second.data, second.tokens, first_s, total_s)


def native(tokens: int, *, two_requests: bool = False, token: str | None = None) -> Talk:
    """Ask through the native API."""
    body = {"prompt": "Say something", "max_tokens": tokens}
    accept = None if two_requests else "text/event-stream"
    request = request_bytes("POST", "/v2/tasks", body, accept=accept, token=token)
    return Talk(request, two_requests, token=token)


def openai(tokens: int, *, token: str | None = None) -> Talk:
    """Ask through the OpenAI API."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Say something"}],
        "max_tokens": tokens,
        "stream": True,
    }
    return Talk(request_bytes("POST", "/v1/chat/completions", body, token=token))


def llamacpp(tokens: int, *, tls: ssl.SSLContext | None = None) -> Talk:
    """Ask an engine directly, or through a proxy that passes everything on."""
    return Talk(request_bytes("POST", "/completion", _completion(tokens)), tls=tls)


def relayed(tokens: int, engine: str, token: str, *, tls: ssl.SSLContext | None = None) -> Talk:
    """Ask an engine through its node, as a control plane does; `engine` is its path there."""
    path, body = f"{engine}/completion", _completion(tokens)
    return Talk(request_bytes("POST", path, body, token=token, task="bench/1"), tls=tls)


def _completion(tokens: int) -> dict[str, object]:
    return {"prompt": "Say something", "n_predict": tokens, "stream": True}


async def connect(
    port: int, *, tls: ssl.SSLContext | None = None, source: str | None = None
) -> Connection:
    """Open a connection, from another address of this machine if one is given."""
    loop = asyncio.get_running_loop()
    local = None if source is None else (source, 0)
    _, connection = await loop.create_connection(
        Connection, "127.0.0.1", port, ssl=tls, local_addr=local
    )
    return connection


async def closed_loop(port: int, talk: Talk, *, clients: int, count: int) -> list[Answer]:
    """Let each client ask again as soon as it was answered, `count` times in all."""
    left = [count]
    answers: list[Answer] = []

    async def client() -> None:
        connection = await connect(port, tls=talk.tls)
        while left[0] > 0:
            left[0] -= 1
            answers.append(await talk.hold(connection))
            if talk.reconnect or not connection.alive:
                connection.transport.close()
                connection = await connect(port, tls=talk.tls)
        connection.transport.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return answers


async def open_loop(port: int, talk: Talk, *, rate_per_s: float, seconds: float) -> list[Answer]:
    """Ask at a fixed rate, whatever becomes of the answers, whose bytes are not kept.

    What would be under way beyond a bound is not asked, and counts as answered badly.
    """
    loop = asyncio.get_running_loop()
    idle: deque[Connection] = deque()
    answers: list[Answer] = []
    under_way = [0]

    async def open_connection() -> Connection:
        while idle:  # The server closes what has rested for long.
            connection = idle.pop()
            if connection.alive and not connection.transport.is_closing():
                return connection
        return await connect(port, tls=talk.tls)

    async def one(due_s: float) -> None:
        connection = await open_connection()
        late_s = loop.time() - due_s
        answer = await talk.hold(connection)
        answers.append(replace(answer, data=b"", late_s=late_s))
        under_way[0] -= 1
        if connection.alive:
            idle.append(connection)

    began_s = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate_per_s * seconds)):
            due_s = began_s + number / rate_per_s
            wait_s = due_s - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if under_way[0] >= MOST_UNDER_WAY:
                answers.append(Answer(0, b"", 0, None, 0.0))
                continue
            under_way[0] += 1
            group.create_task(one(due_s))
    for connection in idle:
        connection.transport.close()
    return answers


async def staggered(port: int, talk: Talk, *, clients: int, over_s: float) -> list[Answer]:
    """One answer for each client, begun one after the other."""

    async def client(delay_s: float) -> Answer:
        connection = await connect(port, tls=talk.tls)
        await asyncio.sleep(delay_s)
        answer = await talk.hold(connection)
        connection.transport.close()
        return answer

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(client(over_s * i / clients)) for i in range(clients)]
    return [one.result() for one in asked]


def percentile_ms(values_s: Iterable[float], share: float) -> float:
    """A percentile in milliseconds; nan where nothing was measured."""
    ordered = sorted(values_s)
    if not ordered:
        return float("nan")
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def latencies(answers: Iterable[Answer], of: Callable[[Answer], float | None]) -> dict[str, float]:
    """The usual percentiles, in milliseconds."""
    seen = [value for answer in answers if (value := of(answer)) is not None]
    return {
        name: round(percentile_ms(seen, share), 3)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    }
