"""What passes around the handlers, seen from a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aiohttp import web

from api_types import ApiError, ErrorCode
from http_shell import CannotListen, ClientConnection, Edge, ErrorMap, serving
from program_config import BindAddress


class Coded(Exception):
    code = "REPLICA_BUSY"
    retriable = True


class Gatekeeper:
    """A gate that lets all in but those who ask to be refused."""

    def admit(self, request: web.BaseRequest) -> Mapping[str, str]:
        if "X-Refuse-Me" in request.headers:
            raise ApiError(ErrorCode.FORBIDDEN, "as you wish")
        return {"X-Gate": "passed"}


class Counter:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        self.seen.append((route, method, status))


Handler = Callable[[web.Request], "asyncio.Future[web.StreamResponse]"]


@asynccontextmanager
async def serve(handler: object, counter: Counter | None = None) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("GET", "/it", handler)  # type: ignore[arg-type]
    edge = Edge(Gatekeeper(), counter or Counter(), ErrorMap((Coded,)))
    async with serving(app, edge, BindAddress("127.0.0.1", 0), shutdown_timeout_s=1) as address:
        yield address.port


async def ask(port: int, path: str = "/it", *headers: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = "".join(f"{header}\r\n" for header in headers)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:-2])
        body = await reader.readexactly(int(fields["content-length"]))
    writer.close()
    return int(head[0].split()[1]), fields, body


async def greet(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def test_the_gate_speaks_before_the_handler_and_its_headers_go_with_the_answer() -> None:
    counter = Counter()
    async with serve(greet, counter) as port:
        status, headers, body = await ask(port)
        assert (status, headers["x-gate"], body) == (200, "passed", b"hello")
        status, _, body = await ask(port, "/it", "X-Refuse-Me: yes")
        assert (status, json.loads(body)["code"]) == (403, "FORBIDDEN")
    assert [status for _, _, status in counter.seen] == [200, 403]


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (Coded("full"), 429, "REPLICA_BUSY"),
        (RuntimeError("secret"), 500, "INTERNAL"),
        (ApiError(ErrorCode.POOL_NOT_FOUND, "no such pool"), 404, "POOL_NOT_FOUND"),
    ],
)
async def test_what_is_raised_becomes_its_answer(raised: Exception, status: int, code: str) -> None:
    async def fail(_request: web.Request) -> web.Response:
        raise raised

    async with serve(fail) as port:
        answered, headers, body = await ask(port, "/it", "X-Correlation-Id: mine")
    told = json.loads(body)
    assert (answered, told["code"], told["correlation_id"]) == (status, code, "mine")
    assert headers["x-correlation-id"] == "mine"
    assert b"secret" not in body


async def test_whoever_writes_past_aiohttp_is_told_when_the_client_takes_no_more() -> None:
    paused, resumed = asyncio.Event(), asyncio.Event()

    async def flood(request: web.Request) -> web.Response:
        connection = cast("ClientConnection", request.protocol)
        connection.on_flow = lambda on: (resumed if on else paused).set()
        assert request.transport is not None
        while not paused.is_set():
            request.transport.write(b"x" * 65_536)
        await resumed.wait()
        connection.on_flow = None
        raise asyncio.CancelledError

    async with serve(flood) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /it HTTP/1.1\r\nHost: x\r\n\r\n")
        await paused.wait()
        while not resumed.is_set():
            assert await reader.read(1 << 20)
        writer.close()


async def test_an_address_that_cannot_be_had_is_told_with_the_way_out() -> None:
    async with serve(greet) as port:
        taken = BindAddress("127.0.0.1", port)
        edge = Edge(Gatekeeper(), Counter(), ErrorMap((Coded,)))
        with pytest.raises(CannotListen) as caught:
            async with serving(web.Application(), edge, taken, option="--bind-addr"):
                raise AssertionError("two listen on one address")
    assert str(caught.value) == (
        f"127.0.0.1:{port} cannot be listened on: Address already in use; "
        "stop the program that has it, or choose another one (--bind-addr)"
    )
