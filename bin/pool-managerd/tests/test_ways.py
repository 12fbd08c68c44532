"""The relay's ways are one to whoever looks from outside: client, engine and metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from auth_min import Door, TokenSet, fixed
from http_shell import ShortConnection, ShortExchange, ShortRequest
from local_pool_manager import PoolDraining, ReplicaBusy
from pool_managerd.http.gate import NodeGate
from pool_managerd.relay import Relay, ShortRelay
from pool_managerd.testing import OneEngine, relaying

from .daemons import TOKEN

ENGINE = "/v2/pools/pool/replicas/r0/engine"
KNOWN = f"Authorization: Bearer {TOKEN}"
TASK = "X-Llorch-Task: some-task/1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nab\r\nc\r\n0\r\n\r\n"
)
LEFT_TO_AIOHTTP = frozenset({b"date", b"server"})
"""The one tells the time, the other who has written an error."""


@dataclass
class Observed:
    """What is counted."""

    counted: list[tuple[str, str, int]] = field(default_factory=list)

    def request_finished(
        self,
        route: str,
        *,
        method: str,
        status: int,
        duration_ms: float,
    ) -> None:
        self.counted.append((route, method, status))


@dataclass
class Script:
    """An engine that answers all alike, closes, and keeps what it was asked."""

    answer: bytes = OK
    url: str = ""
    asked: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        self.asked.append(head + await reader.readexactly(length))
        writer.write(self.answer)
        writer.close()

    @asynccontextmanager
    async def running(self) -> "AsyncIterator[Script]":
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()


@dataclass(frozen=True)
class Seen:
    """All that can be seen of one request."""

    status_line: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    next_status_line: bytes
    """Of a request behind it on the same connection, empty if that was closed."""
    asked: tuple[bytes, ...]
    counted: tuple[tuple[str, str, int], ...]


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: node", "X-Correlation-Id: mine", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def generate(*headers: str) -> bytes:
    return request("POST", f"{ENGINE}/completion", KNOWN, *headers, body=b'{"prompt":"hi"}')


async def body_of(
    reader: asyncio.StreamReader, status_line: bytes, headers: dict[bytes, bytes]
) -> bytes:
    if b" 204 " in status_line:
        return b""
    try:
        if b"content-length" in headers:
            return await reader.readexactly(int(headers[b"content-length"]))
        if b"transfer-encoding" in headers:
            return await reader.readuntil(b"0\r\n\r\n")
    except asyncio.IncompleteReadError as cut:
        return cut.partial
    return await reader.read()


async def seen(
    asked: bytes, script: Script, pool: OneEngine, *, short: bool, before: int = 0
) -> Seen:
    """Ask once, or once more if it was asked before."""
    observed, gate = Observed(), NodeGate(Door(fixed(TokenSet.parse(TOKEN))), "127.0.0.1")
    async with (
        asyncio.timeout(10),
        relaying(pool, short=short, gate=gate, observer=observed) as url,
    ):
        at = urlsplit(url)
        for _ in range(before + 1):
            script.asked.clear()
            observed.counted.clear()
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(asked)
            head = await reader.readuntil(b"\r\n\r\n")
            status_line, *lines = head[:-4].split(b"\r\n")
            headers = {}
            for line in lines:
                name, _, value = line.partition(b": ")
                headers[name.lower()] = value
            body = await body_of(reader, status_line, headers)
            next_line = b""
            with suppress(ConnectionError):
                writer.write(request("GET", f"{ENGINE}/health", KNOWN))
                next_line = await reader.readline()
            while len(observed.counted) < 1 + bool(next_line):
                await asyncio.sleep(0)  # A client that left before would be counted as gone.
            writer.transport.abort()
    kept = sorted(pair for pair in headers.items() if pair[0] not in LEFT_TO_AIOHTTP)
    return Seen(
        status_line, tuple(kept), body, next_line, tuple(script.asked), tuple(observed.counted)
    )


REQUESTS = {
    "a stream": (generate(TASK), STREAM, b" 200 "),
    "an answer with a length": (request("GET", f"{ENGINE}/health", KNOWN), OK, b" 200 "),
    "an answer that ends with its connection": (
        generate(TASK),
        b"HTTP/1.1 200 OK\r\nX-Own: a\r\n\r\nall",
        b" 200 ",
    ),
    "an answer without a body": (generate(TASK), b"HTTP/1.1 204 No Content\r\n\r\n", b" 204 "),
    "an interim answer": (generate(TASK), b"HTTP/1.1 100 Continue\r\n\r\n" + STREAM, b" 200 "),
    "an error of the engine": (
        generate(TASK),
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
        b" 500 ",
    ),
    "headers of one connection": (
        generate(TASK, "Connection: keep-alive", "Keep-Alive: 5", "Proxy-Authorization: x"),
        STREAM.replace(b"\r\n", b"\r\nConnection: X-Own\r\nX-Own: a\r\nKeep-Alive: 5\r\n", 1),
        b" 200 ",
    ),
    "headers of the node": (
        generate(TASK, "Cookie: a", "X-API-Key: " + TOKEN, "Traceparent: as-it-comes"),
        STREAM.replace(b"\r\n", b"\r\nX-Correlation-Id: theirs\r\n", 1),
        b" 200 ",
    ),
    "an answer that is cut": (generate(TASK), STREAM[:-7], b" 200 "),
    "an answer that is none": (generate(TASK), b"SSH-2.0-OpenSSH\r\n\r\n", b" 502 "),
    "an engine that says nothing": (generate(TASK), b"", b" 502 "),
    "no task": (generate(), OK, b" 400 "),
    "no path of an adapter": (request("GET", f"{ENGINE}/v1/models", KNOWN), OK, b" 404 "),
    "no such pool": (
        request("GET", ENGINE.replace("r0", "r1") + "/health", KNOWN),
        OK,
        b" 404 ",
    ),
    "a pool with a dot for a name": (
        request("GET", ENGINE.replace("/pool/", "/../") + "/health", KNOWN),
        OK,
        b" 404 ",
    ),
    "a path with something to decode": (
        request("GET", f"{ENGINE}/%68ealth?a=b", KNOWN),
        OK,
        b" 200 ",
    ),
    "no token": (request("GET", f"{ENGINE}/health"), OK, b" 401 "),
    "a wrong token": (request("GET", f"{ENGINE}/health", f"{KNOWN}x"), OK, b" 401 "),
    "a web page": (request("GET", f"{ENGINE}/health", KNOWN, "Origin: http://a"), OK, b" 403 "),
}


@pytest.mark.parametrize("what", REQUESTS)
async def test_all_ways_answer_alike(what: str) -> None:
    asked, answer, status = REQUESTS[what]
    async with Script(answer).running() as script:
        pool = OneEngine(script.url, key="engine-key")
        short = await seen(asked, script, pool, short=True)
        recalled = await seen(asked, script, pool, short=True, before=1)
        usual = await seen(asked, script, pool, short=False)
    assert short == usual
    assert recalled == usual
    assert status in short.status_line
    assert TOKEN.encode() not in b"".join(short.asked)


@pytest.mark.parametrize("refusal", [PoolDraining("it drains"), ReplicaBusy("all are taken")])
async def test_both_ways_refuse_alike(refusal: PoolDraining | ReplicaBusy) -> None:
    async with Script().running() as script:
        pool = OneEngine(script.url)
        pool.refusal = refusal
        short = await seen(generate(TASK), script, pool, short=True)
        usual = await seen(generate(TASK), script, pool, short=False)
    assert short == usual
    assert b"retry-after" in dict(short.headers)


async def test_both_ways_tell_alike_of_an_engine_that_is_not_there() -> None:
    pool = OneEngine("http://127.0.0.1:1")
    short = await seen(generate(TASK), Script(), pool, short=True)
    usual = await seen(generate(TASK), Script(), pool, short=False)
    assert short == usual
    assert b" 502 " in short.status_line
    assert not pool.leases.held


async def test_an_engine_that_cannot_even_be_asked_is_our_fault_and_holds_no_slot() -> None:
    for pool in (
        OneEngine("http://127.0.0.1:70000"),
        OneEngine("http://127.0.0.1:1", key="no byte: \u20ac"),
    ):
        found = await seen(generate(TASK), Script(), pool, short=True)
        assert b" 500 " in found.status_line
        assert not pool.leases.held


async def test_a_request_of_a_form_that_was_met_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin, read = ShortRelay.begin, list[str]()

    def noted(
        self: ShortRelay, request: ShortRequest, connection: ShortConnection
    ) -> ShortExchange | None:
        read.append(request.path)
        return begin(self, request, connection)

    monkeypatch.setattr(ShortRelay, "begin", noted)
    async with Script(STREAM).running() as script:
        pool = OneEngine(script.url)
        found = await seen(generate(TASK), script, pool, short=True, before=2)
    assert found.status_line == b"HTTP/1.1 200 OK"
    assert read.count(f"{ENGINE}/completion") == 1


async def test_a_token_that_opens_no_more_is_not_recalled() -> None:
    tokens = TokenSet.parse(TOKEN)
    gate = NodeGate(Door(lambda: tokens), "127.0.0.1")
    async with Script().running() as script, relaying(OneEngine(script.url), gate=gate) as url:
        at = urlsplit(url)
        for status in (b"200", b"200", b"401"):
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(generate(TASK))
            assert (await reader.readline()).split()[1] == status
            writer.transport.abort()
            if len(script.asked) == 2:
                tokens = TokenSet.parse(f"{TOKEN}-of-tomorrow")
    assert len(script.asked) == 2


async def test_a_request_of_the_usual_form_never_meets_aiohttp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def met(_self: Relay, _request: web.Request) -> web.StreamResponse:
        raise AssertionError("aiohttp was asked")

    monkeypatch.setattr(Relay, "handle", met)
    async with Script(STREAM).running() as script:
        found = await seen(generate(TASK), script, OneEngine(script.url), short=True)
    assert (found.status_line, found.body) == (b"HTTP/1.1 200 OK", b"5\r\nab\r\nc\r\n0\r\n\r\n")
    assert found.next_status_line == b"HTTP/1.1 200 OK\r\n"
