"""The client over real sockets: reuse, retry, limits, cancellation, silence about secrets."""

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapter_api import (
    EngineProtocolError,
    EngineRequest,
    EngineReset,
    EngineTimeout,
    EngineUnreachable,
)
from worker_http import ClientLimits, Departure, EngineClient, task_headers
from worker_http.connection import EngineConnection
from worker_http.testing import Handler, ScriptedServer, Wire, WireRequest, chunk

SECRET = "k3y-that-nobody-may-see"


@asynccontextmanager
async def client_of(
    handler: Handler, limits: ClientLimits | None = None, path: str = ""
) -> AsyncIterator[tuple[EngineClient, ScriptedServer]]:
    async with ScriptedServer.running(handler) as server:
        client = EngineClient(server.url + path, api_key=SECRET, limits=limits)
        try:
            yield client, server
        finally:
            await client.close()


async def say_ok(request: WireRequest, wire: Wire) -> None:
    await wire.respond(200, b'{"ok":true}')


async def stream(client: EngineClient, reads: list[bytes], **fields: object) -> object:
    options = {"first_ms": 5_000, "idle_ms": 5_000, **fields}
    return await client.stream(
        "/x", b"{}", on_data=lambda data: reads.append(data) or True, **options
    )


async def test_a_request_carries_base_path_key_and_body() -> None:
    async with client_of(say_ok, path="/v2/pools/p/replicas/r/engine/") as (client, server):
        response = await client.request("POST", "/tokenize", b'{"content":"x"}')
        assert response.body == b'{"ok":true}'
        [request] = server.requests
        assert request.path == "/v2/pools/p/replicas/r/engine/tokenize"
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert request.body == b'{"content":"x"}'


async def test_a_connection_is_used_again() -> None:
    async with client_of(say_ok) as (client, server):
        for _ in range(3):
            await client.request("GET", "/health")
        assert server.connections == 1
        assert client.idle_connections == 1


async def test_a_connection_closes_when_it_was_idle_too_long() -> None:
    gone = asyncio.Event()

    async def handler(request: WireRequest, wire: Wire) -> None:
        await say_ok(request, wire)
        await wire.left()
        gone.set()

    async with client_of(handler, ClientLimits(idle_ms=1)) as (client, _):
        await client.request("GET", "/health")
        async with asyncio.timeout(5):
            await gone.wait()
        assert client.idle_connections == 0


async def test_no_more_connections_stay_idle_than_allowed() -> None:
    meet = asyncio.Barrier(3)

    async def handler(request: WireRequest, wire: Wire) -> None:
        await meet.wait()
        await say_ok(request, wire)

    async with client_of(handler, ClientLimits(max_idle=2)) as (client, _):
        await asyncio.gather(*(client.request("GET", "/health") for _ in range(3)))
        assert client.idle_connections == 2


async def test_a_post_that_meets_a_dead_reused_connection_is_sent_once_more() -> None:
    seen = 0

    async def handler(request: WireRequest, wire: Wire) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:
            wire.reset()
            return
        await say_ok(request, wire)

    async with client_of(handler) as (client, server):
        await client.request("GET", "/health")
        assert (await client.request("POST", "/x", b"{}")).status == 200
        assert server.connections == 2


async def test_a_post_that_dies_on_a_fresh_connection_is_not_repeated() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        wire.reset()

    async with client_of(handler) as (client, server):
        with pytest.raises(EngineUnreachable):
            await client.request("POST", "/x", b"{}")
        assert len(server.requests) == 1


async def test_a_post_that_dies_after_a_byte_of_the_answer_is_not_repeated() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        if request.path == "/health":
            await say_ok(request, wire)
            return
        await wire.begin_stream()
        wire.close()

    async with client_of(handler) as (client, server):
        await client.request("GET", "/health")
        with pytest.raises(EngineReset):
            await stream(client, [])
        assert len(server.requests) == 2


async def test_all_chunks_of_one_read_are_handed_on_together() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.send(chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n"))
        await wire.send(chunk(b""))

    async with client_of(handler) as (client, _):
        reads: list[bytes] = []
        await stream(client, reads)
        assert reads[0].endswith(b"data: 1\n\ndata: 2\n\n")
        assert len(reads) == 1


async def test_a_connection_is_used_again_after_a_stream() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.send(chunk(b""))

    async with client_of(handler) as (client, server):
        for _ in range(3):
            await stream(client, [])
        assert server.connections == 1


async def test_a_call_leaves_nothing_to_the_garbage_collector() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    made: list[weakref.ref[EngineConnection]] = []
    gc.collect()
    gc.disable()
    try:
        async with client_of(handler) as (client, _):
            await client.request("GET", "/health")
            made += [weakref.ref(each) for each in gc.get_objects() if _is_connection(each)]
            while any(each() is not None and not each().lost for each in made):
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert [each() for each in made] == [None]
    finally:
        gc.enable()


def _is_connection(thing: object) -> bool:
    return type(thing) is EngineConnection


async def test_an_engine_that_closes_after_a_stream_unannounced_is_learnt() -> None:
    closed = asyncio.Event()

    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.send(chunk(b""))
        if not closed.is_set():
            wire.close()

    async with client_of(handler) as (client, server), asyncio.timeout(5):
        await stream(client, [])
        while client.idle_connections:
            await asyncio.sleep(0)
        closed.set()
        await stream(client, [])
        assert client.idle_connections == 0
        assert len(server.requests) == 2


async def test_the_read_that_makes_a_response_whole_is_told_apart() -> None:
    more = asyncio.Event()

    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.send(chunk(b"data: 1\n\n"))
        await more.wait()
        await wire.send(chunk(b"data: 2\n\n") + chunk(b""))

    reads: list[bytes] = []
    last: list[bytes] = []

    def read(data: bytes) -> bool:
        reads.append(data)
        more.set()
        return True

    async with client_of(handler) as (client, _):
        await client.stream(
            "/x",
            b"{}",
            on_data=read,
            on_last=lambda data: last.append(data) or True,
            first_ms=5_000,
            idle_ms=5_000,
        )
    assert (reads, last) == ([b"data: 1\n\n"], [b"data: 2\n\n"])


async def test_an_error_status_is_returned_and_never_streamed() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.respond(400, b'{"error":1}')

    async with client_of(handler) as (client, _):
        reads: list[bytes] = []
        response = await client.stream(
            "/x", b"{}", on_data=lambda data: reads.append(data) or True, first_ms=5000, idle_ms=1
        )
        assert (response.status, response.streamed, response.body) == (400, False, b'{"error":1}')
        assert reads == []


async def test_a_cancelled_call_closes_its_side_at_once_and_hears_the_engine_close() -> None:
    streaming = asyncio.Event()

    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.begin_stream()
        streaming.set()
        await wire.left()
        wire.close()

    departures: list[Departure] = []
    async with client_of(handler) as (client, _), asyncio.timeout(5):
        async with asyncio.TaskGroup() as group:
            call = group.create_task(stream(client, [], on_leave=departures.append))
            await streaming.wait()
            call.cancel()
        assert await departures[0].acknowledged(timeout_ms=5_000)
        assert client.idle_connections == 0


async def test_an_engine_that_ignores_our_leaving_is_not_taken_for_one_that_stopped() -> None:
    streaming, end = asyncio.Event(), asyncio.Event()

    async def handler(request: WireRequest, wire: Wire) -> None:
        streaming.set()
        await end.wait()

    departures: list[Departure] = []
    limits = ClientLimits(linger_ms=20)
    async with client_of(handler, limits) as (client, _), asyncio.timeout(5):
        async with asyncio.TaskGroup() as group:
            call = group.create_task(stream(client, [], on_leave=departures.append))
            await streaming.wait()
            call.cancel()
        assert not await departures[0].acknowledged(timeout_ms=1)
        assert not await departures[0].acknowledged(timeout_ms=5_000)
        end.set()


async def test_what_the_reader_raises_ends_the_call() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.send(chunk(b"data: ?\n\n"))
        await wire.left()

    def refuse(data: bytes) -> bool:
        raise EngineProtocolError("no")

    async with client_of(handler) as (client, _), asyncio.timeout(5):
        with pytest.raises(EngineProtocolError, match="no"):
            await client.stream("/x", b"{}", on_data=refuse, first_ms=5_000, idle_ms=5_000)


async def test_bytes_without_a_token_do_not_feed_the_clocks() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.begin_stream()
        while True:
            await wire.send(chunk(b": ping\n\n"))
            await asyncio.sleep(0.005)

    async with client_of(handler) as (client, _), asyncio.timeout(5):
        with pytest.raises(EngineTimeout, match="no answer for 30 ms"):
            await client.stream("/x", b"{}", on_data=lambda _: False, first_ms=30, idle_ms=10)
        told = iter([True])
        with pytest.raises(EngineTimeout, match="silent for 30 ms"):
            await client.stream(
                "/x", b"{}", on_data=lambda _: next(told, False), first_ms=5_000, idle_ms=30
            )


async def test_an_answer_larger_than_the_limit_is_refused() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.respond(200, b"x" * 1_000)

    async with client_of(handler, ClientLimits(max_body_bytes=999)) as (client, _):
        with pytest.raises(EngineProtocolError, match="999 bytes"):
            await client.request("GET", "/slots")


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
async def test_what_is_not_http_is_a_protocol_error(answer: bytes) -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.send(answer)

    async with client_of(handler) as (client, _):
        with pytest.raises(EngineProtocolError, match="not HTTP"):
            await client.request("GET", "/health")


async def test_a_second_answer_that_nobody_asked_for_spoils_the_connection() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        one = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        await wire.send(one + b"ok" + one + b"no")

    async with client_of(handler) as (client, _):
        assert (await client.request("GET", "/health")).body == b"ok"
        assert client.idle_connections == 0


async def test_a_body_may_end_with_its_connection_and_follow_a_100() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall of it")
        wire.close()

    async with client_of(handler) as (client, _):
        assert (await client.request("GET", "/health")).body == b"all of it"


async def test_no_error_shows_url_key_or_body() -> None:
    async def handler(request: WireRequest, wire: Wire) -> None:
        wire.reset()

    async with client_of(handler) as (client, server):
        with pytest.raises(EngineUnreachable) as dead:
            await client.request("POST", "/x", b'"my prompt"')
        await client.close()
        port = server.url.rpartition(":")[2]
    with pytest.raises(EngineUnreachable) as refused:
        await client.request("POST", "/x", b'"my prompt"')
    for shown in (str(dead.value), str(refused.value), repr(client.endpoint)):
        assert SECRET not in shown
        assert "my prompt" not in shown
    assert port not in str(refused.value)


def test_a_base_url_with_credentials_is_refused_without_repeating_them() -> None:
    with pytest.raises(ValueError, match="no credentials") as refused:
        EngineClient("http://me:pa55@host")
    assert "pa55" not in str(refused.value)


async def test_a_header_value_that_breaks_the_request_is_refused() -> None:
    client = EngineClient("http://127.0.0.1:1")
    request = EngineRequest(task_id="t", correlation_id="x\r\nEvil: 1")
    with pytest.raises(ValueError, match="X-Correlation-Id"):
        await client.request("POST", "/x", b"{}", headers=task_headers(request))


async def test_a_generating_request_carries_task_and_trace() -> None:
    async with client_of(say_ok) as (client, server):
        request = EngineRequest(task_id="t", attempt=2, correlation_id="c", traceparent="00-1-2-3")
        await client.request("POST", "/x", b"{}", headers=task_headers(request))
        headers = server.requests[0].headers
        assert headers["x-llorch-task"] == "t/2"
        assert headers["x-correlation-id"] == "c"
        assert headers["traceparent"] == "00-1-2-3"


async def test_tls_with_a_server_that_speaks_none_is_unreachable() -> None:
    async with ScriptedServer.running(say_ok) as server:
        url = server.url.replace("http://", "https://")
        limits = ClientLimits(connect_timeout_ms=100)
        client = EngineClient(url, ssl_context=ssl.create_default_context(), limits=limits)
        with pytest.raises(EngineUnreachable):
            await client.request("GET", "/health")
