"""The way past aiohttp: what goes it, what does not, and that nobody can tell the difference."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aiohttp import web
from pydantic import BaseModel

from http_shell import (
    Edge,
    ErrorMap,
    HeadTemplate,
    JsonAnswer,
    ShortConnection,
    ShortExchange,
    ShortRequest,
    answer_bytes,
    head_bytes,
    json_answer,
    serving,
)
from http_shell.short_heads import MAX_HELD_BYTES
from http_shell.turns import AT_ONCE
from program_config import BindAddress


class Open:
    def admit(self, _request: web.BaseRequest) -> Mapping[str, str]:
        return {}


class Quiet:
    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        pass


class HeldAnswer:
    """An exchange that is answered when the test says so."""

    def __init__(self, connection: ShortConnection, text: str) -> None:
        self.connection = connection
        self._text = text
        self.gone = asyncio.Event()

    def give(self) -> None:
        self.connection.transport.write(answer_bytes(web.Response(text=self._text)))
        self.connection.answered()

    def lost(self) -> None:
        self.gone.set()


class Way:
    """Answers `POST /it` with what came, at once or when the test says so."""

    def __init__(self) -> None:
        self.hold = False
        self.remembered = b""
        self.begun: asyncio.Queue[HeldAnswer] = asyncio.Queue()

    def knows(self, method: str, path: str) -> bool:
        return (method, path) == ("POST", "/it")

    def recall(self, data: bytes, connection: ShortConnection) -> ShortExchange | None:
        return self._answer("recalled", connection) if data == self.remembered else None

    def begin(self, request: ShortRequest, connection: ShortConnection) -> ShortExchange | None:
        if "X-Leave-It" in request.headers:
            return None
        return self._answer(f"short {request.content.decode()}", connection)

    def _answer(self, text: str, connection: ShortConnection) -> ShortExchange:
        exchange = HeldAnswer(connection, text)
        self.begun.put_nowait(exchange)
        if not self.hold:
            exchange.give()
        return exchange


async def usual(request: web.Request) -> web.Response:
    return web.Response(text=f"aiohttp {await request.text()}")


@asynccontextmanager
async def serve(way: Way, *, shutdown_timeout_s: float = 5) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{any}", usual)
    edge = Edge(Open(), Quiet(), ErrorMap())
    async with (
        asyncio.timeout(20),
        serving(
            *(app, edge, BindAddress("127.0.0.1", 0)),
            shutdown_timeout_s=shutdown_timeout_s,
            short_way=way,
            recall=way.recall,
        ) as address,
    ):
        yield address.port


def request(body: str, *headers: str, line: str = "POST /it HTTP/1.1") -> bytes:
    lines = "".join(f"{header}\r\n" for header in ("Host: x", *headers))
    return f"{line}\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def answer(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 200 ok")
    assert "\r\ndate: " in head
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return (await reader.readexactly(length)).decode()


async def test_a_whole_request_goes_the_short_way_again_and_again_on_one_connection() -> None:
    async with serve(Way()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(3):
            writer.write(request(f"no. {number}"))
            assert await answer(reader) == f"short no. {number}"
        writer.close()


class CountedWay(Way):
    """Counts what begins in each turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.began = [0]

    def next_turn(self) -> None:
        self.began.append(0)
        asyncio.get_running_loop().call_soon(self.next_turn)

    def begin(self, request: ShortRequest, connection: ShortConnection) -> ShortExchange | None:
        self.began[-1] += 1
        return super().begin(request, connection)


async def test_what_comes_at_once_begins_a_few_in_a_turn_and_all_of_it_is_answered() -> None:
    way, many = CountedWay(), 3 * AT_ONCE
    async with serve(way) as port:
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(many)]
        _, gone = await asyncio.open_connection("127.0.0.1", port)
        await was_read(port)
        way.next_turn()
        for number, (_, writer) in enumerate(clients):
            whole = request(f"no. {number}")
            writer.write(whole[:-1])
            writer.write(whole[-1:])
        gone.write(request("never mind"))
        gone.transport.abort()
        for number, (reader, writer) in enumerate(clients):
            assert await answer(reader) == f"short no. {number}"
            writer.close()
    assert max(way.began) <= AT_ONCE


async def test_what_is_recalled_is_not_read_and_what_is_not_is_read_as_ever() -> None:
    way = Way()
    way.remembered = request("known")
    async with serve(way) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for hold in (False, True):
            way.hold = hold
            for body, expected in (("known", "recalled"), ("new", "short new")):
                writer.write(request(body))
                exchange = await way.begun.get()
                if hold:
                    writer.write(request("early"))  # It waits for its turn.
                    exchange.give()
                assert await answer(reader) == expected
                if hold:
                    (await way.begun.get()).give()
                    assert await answer(reader) == "short early"
        writer.close()


async def test_a_request_does_not_overtake_one_that_came_during_the_answer_before() -> None:
    way = Way()
    way.hold = True
    async with serve(way) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("first"))
        first = await way.begun.get()
        connection = cast("asyncio.Protocol", first.connection)
        connection.data_received(request("second"))
        first.give()
        connection.data_received(request("third"))  # In the same turn of the loop.
        assert await answer(reader) == "short first"
        for body in ("second", "third"):  # Two in one read are aiohttp's.
            assert await answer(reader) == f"aiohttp {body}"
        writer.close()


@pytest.mark.parametrize(
    "unusual",
    [
        request("x", "Expect: nothing").replace(b"Expect: nothing", b"Content-Encoding: identity"),
        request("x", "X-Leave-It: yes"),
        request("x", "Twice: a", "Twice: b"),
        request("x", "Connection: close"),
        request("x", "Odd_Name: a"),
        request("x", "Odd-Value: \u00fc"),
        request("x", line="POST /it?query=1 HTTP/1.1"),
        request("x", line="PUT /it HTTP/1.1"),
        request("x", line="POST /it HTTP/1.0"),
        request("x", "Long: " + 8_001 * "x"),
        b"POST /it HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    ],
)
async def test_whatever_is_unusual_is_answered_by_aiohttp_as_it_came(unusual: bytes) -> None:
    async with serve(Way()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(unusual)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Server: " in head or b"400" in head.split(b"\r\n")[0]
        writer.close()


async def was_read(port: int) -> None:
    """Return when the server has read all that was sent before, and answered two others since."""
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("since"))
        assert await answer(reader) == "short since"
        writer.close()


@pytest.mark.parametrize("cut", [1, 20, 40])
async def test_a_head_in_two_packets_is_aiohttp_s_and_its_connection_with_it(cut: int) -> None:
    async with serve(Way()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.get_extra_info("socket").setsockopt(6, 1, 1)
        whole = request("body")
        writer.write(whole[:cut])
        await was_read(port)
        writer.write(whole[cut:])
        assert await answer(reader) == "aiohttp body"
        writer.write(whole)
        assert await answer(reader) == "aiohttp body"
        writer.close()


async def test_a_body_in_many_packets_is_waited_for() -> None:
    async with serve(Way()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for text in ("one", "two"):
            whole = request(text)
            for end in range(len(whole) - len(text), len(whole)):
                writer.write(whole[:end] if end == len(whole) - len(text) else whole[end - 1 : end])
                await was_read(port)
            writer.write(whole[-1:])
            assert await answer(reader) == f"short {text}"
        writer.close()


async def test_a_body_that_does_not_come_soon_is_aiohttp_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("http_shell.server.HOLD_S", 0.0)
    async with serve(Way()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = request("body")
        writer.write(whole[:-1])
        await was_read(port)
        writer.write(whole[-1:])
        assert await answer(reader) == "aiohttp body"
        writer.close()


async def test_a_body_that_is_too_large_to_hold_is_aiohttp_s() -> None:
    async with serve(Way()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        text = "x" * MAX_HELD_BYTES
        whole = request(text)
        writer.write(whole[:1000])
        await was_read(port)
        writer.write(whole[1000:])
        assert await answer(reader) == f"aiohttp {text}"
        writer.close()


async def test_a_client_that_goes_away_within_its_body_leaves_nothing_behind() -> None:
    way = Way()
    async with serve(way) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("one")[:-1])
        await was_read(port)
        writer.close()
        await was_read(port)
    assert way.begun.qsize() == 4  # those that asked whether it was read


async def test_requests_that_come_during_an_answer_wait_for_its_end() -> None:
    way = Way()
    way.hold = True
    async with serve(way) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("one"))
        first = await way.begun.get()
        writer.write(request("two") + request("three"))
        way.hold = False
        first.give()
        assert await answer(reader) == "short one"
        assert await answer(reader) == "aiohttp two"
        assert await answer(reader) == "aiohttp three"
        writer.close()


async def test_an_answer_whose_client_goes_away_is_told_so() -> None:
    way = Way()
    way.hold = True
    async with serve(way) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("one"))
        begun = await way.begun.get()
        writer.close()
        await begun.gone.wait()


async def test_who_reads_a_short_answer_is_not_idle_and_who_has_read_it_is() -> None:
    way = Way()
    way.hold = True
    async with serve(way) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("one"))
        begun = await way.begun.get()
        connection = begun.connection
        connection._next_keepalive_close_time = 0.0  # type: ignore[attr-defined]
        connection._process_keepalive()  # type: ignore[attr-defined]
        begun.give()
        assert await answer(reader) == "short one"
        connection._process_keepalive()  # type: ignore[attr-defined]
        writer.write(request("two"))
        (await way.begun.get()).give()
        assert await answer(reader) == "short two"
        connection._next_keepalive_close_time = 0.0  # type: ignore[attr-defined]
        connection._process_keepalive()  # type: ignore[attr-defined]
        assert await reader.read() == b""
        writer.close()


async def test_shutting_down_waits_for_a_short_answer_only_so_long() -> None:
    way, wrong = Way(), []
    way.hold = True
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: wrong.append(told))
    async with serve(way, shutdown_timeout_s=0.01) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("x"))
        exchange = await way.begun.get()
    assert await reader.read() == b""
    await exchange.gone.wait()
    writer.close()
    assert not wrong


async def test_shutting_down_lets_a_short_answer_end() -> None:
    way = Way()
    way.hold = True
    async with serve(way) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("one"))
        begun = await way.begun.get()
        asyncio.get_running_loop().call_later(0.1, begun.give)
    assert await answer(reader) == "short one"
    assert await reader.read() == b""
    writer.close()


def test_no_header_can_end_its_line() -> None:
    for value in ("a\r\nB: c", "a\nB: c", "a\rB: c"):
        with pytest.raises(ValueError, match="line end"):
            head_bytes(200, "OK", {"A": value})


class Told(BaseModel):
    """Something to answer."""

    success: bool


def test_a_model_is_written_as_its_answer_would_be() -> None:
    answer = json_answer(Told(success=True), headers={"X-Correlation-Id": "abc"})
    document = JsonAnswer(Told(success=True))
    for _ in range(2):
        written = document.written({"X-Correlation-Id": "abc"}), answer_bytes(answer)
        (head, body), (wanted, same) = (each.split(b"\r\n\r\n") for each in written)
        assert body == same == b'{"success":true}'
        assert sorted(head.splitlines()) == sorted(wanted.splitlines())


def test_a_template_writes_what_would_be_written_without_one() -> None:
    same, other = {"Cache-Control": "no-store"}, {"X-Task-Id": "1", "X-Correlation-Id": "c"}
    template = HeadTemplate(200, "OK", same)
    for _ in range(2):
        written = sorted(template.head(other).splitlines())
        assert written == sorted(head_bytes(200, "OK", {**same, **other}).splitlines())
    with pytest.raises(ValueError, match="line end"):
        template.head({"X-Task-Id": "1\r\nX-Other: 2"})
