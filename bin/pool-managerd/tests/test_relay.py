"""What the relay does with bytes, leases and ends, between a client and an engine of a test."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from local_pool_manager import Lease, PoolDraining
from pool_managerd.testing import OneEngine, relaying

from .engines import PlainEngine, Visit

TASK = "X-Llorch-Task: some-task/1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Client:
    """One connection to the relay."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    base: str

    def ask(self, method: str, path: str, *headers: str, body: bytes = b"") -> None:
        lines = [f"{method} {self.base}{path} HTTP/1.1", "Host: node", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "\r\n"]).encode() + body)

    def generate(self, *headers: str, body: bytes = b"{}") -> None:
        self.ask("POST", "/completion", TASK, *headers, body=body)

    async def head(self) -> tuple[int, str]:
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return int(head.split(" ", 2)[1]), head

    async def answer(self) -> tuple[int, bytes]:
        status, head = await self.head()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        return status, await self.reader.readexactly(length)

    async def error(self) -> tuple[int, str]:
        status, body = await self.answer()
        return status, json.loads(body)["code"]

    async def closed(self) -> None:
        async with asyncio.timeout(5):
            while await self.reader.read(65_536):
                pass


@dataclass
class Bench:
    engine: PlainEngine
    pool: OneEngine
    url: str
    released: asyncio.Event
    short: bool

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        at = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        try:
            yield Client(reader, writer, at.path)
        finally:
            writer.transport.abort()

    async def next(self, visit: Visit | None) -> Visit:
        """The next request: on the same connection, if its way uses one again."""
        return await (visit.next() if visit is not None and self.short else self.engine.visit())

    def held(self) -> int:
        return len(self.pool.leases.held)

    async def taken(self) -> None:
        async with asyncio.timeout(5):
            while not self.held():
                await asyncio.sleep(0)

    async def freed(self) -> None:
        async with asyncio.timeout(5):
            while self.held():
                await self.released.wait()
                self.released.clear()


@contextmanager
def deaf_engine() -> Iterator[str]:
    """An engine that accepts nothing: its queue of one is full, and the kernel drops the next."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        at = deaf.getsockname()
        with socket.create_connection(at):
            yield f"http://{at[0]}:{at[1]}"


@asynccontextmanager
async def benched(*, short: bool) -> AsyncIterator[Bench]:
    released = asyncio.Event()
    async with PlainEngine.running() as engine:
        pool = OneEngine(engine.url, slots=1, key="engine-key")
        pool.on_release = released.set
        async with relaying(pool, short=short) as url:
            yield Bench(engine, pool, url, released, short)


@pytest.fixture(params=[True, False], ids=["short way", "aiohttp"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with benched(short=request.param) as bench:
        yield bench


async def test_bytes_pass_unchanged_and_the_connection_carries_the_next_request(
    bench: Bench,
) -> None:
    async with bench.client() as client:
        visit: Visit | None = None
        for _ in range(2):
            client.generate(
                "Authorization: Bearer service", "X-Correlation-Id: mine", body=b"hello"
            )
            visit = await bench.next(visit)
            assert "Bearer engine-key" in visit.head
            assert "service" not in visit.head
            assert "X-Correlation-Id: mine" in visit.head
            assert await visit.body(5) == b"hello"
            visit.writer.write(STREAM + b"5\r\nab\r\nc\r\n0\r\n\r\n")
            status, head = await client.head()
            assert (status, "X-Correlation-Id: mine" in head) == (200, True)
            assert await client.reader.readexactly(15) == b"5\r\nab\r\nc\r\n0\r\n\r\n"
            assert not bench.held()


async def test_only_paths_of_an_adapter_exist(bench: Bench) -> None:
    async with bench.client() as client:
        for method, path in (
            ("GET", "/"),
            ("GET", "/completion"),
            ("POST", "/slots/0"),
            ("GET", "/props/../slots"),
            ("GET", "/v1/models"),
            ("DELETE", "/health"),
        ):
            client.ask(method, path)
            assert await client.error() == (404, "NOT_FOUND"), path
    assert bench.engine.visits.empty()


@pytest.mark.parametrize("task", ["", "x", "x/0", "x/1/2", "a b/1", "/1"])
async def test_a_generating_request_says_for_which_task_it_is(bench: Bench, task: str) -> None:
    async with bench.client() as client:
        client.ask("POST", "/completion", f"X-Llorch-Task: {task}", body=b"{}")
        assert await client.error() == (400, "INVALID_PARAMS")
    assert not bench.held()


async def test_a_full_replica_is_busy_and_a_draining_pool_says_so(bench: Bench) -> None:
    async with bench.client() as first, bench.client() as second:
        first.generate()
        await bench.engine.visit()
        second.generate()
        assert await second.error() == (429, "REPLICA_BUSY")
        bench.pool.refusal = PoolDraining("pool 'pool' is draining")
        second.generate()
        assert await second.error() == (503, "POOL_DRAINING")
        second.ask("GET", "/health")
        visit = await bench.engine.visit()
        visit.writer.write(OK)
        assert await second.answer() == (200, b"ok")


async def test_a_client_that_leaves_ends_the_engines_side_and_the_slot_waits_for_the_engine(
    bench: Bench,
) -> None:
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        await visit.body(2)
        visit.writer.write(STREAM)
        await client.head()
        client.writer.transport.abort()
        await visit.left()
        assert bench.held() == 1
        visit.writer.write(b"3\r\nabc\r\n")  # it goes on for a while
        visit.writer.close()
        await bench.freed()


async def test_an_engine_that_breaks_off_cuts_the_clients_connection(bench: Bench) -> None:
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        visit.writer.write(STREAM + b"5\r\nab")
        await client.head()
        visit.writer.transport.abort()
        await client.closed()
    await bench.freed()


async def test_an_engine_that_dies_unanswered_is_told_as_such(bench: Bench) -> None:
    async with bench.client() as client:
        client.generate()
        (await bench.engine.visit()).writer.transport.abort()
        assert await client.error() == (502, "WORKER_RESET")
        bench.pool.move("http://127.0.0.1:1")
        client.generate()
        assert await client.error() == (502, "WORKER_RESET")
    await bench.freed()


async def test_an_answer_that_is_not_http_is_told_as_such(bench: Bench) -> None:
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        visit.writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        assert await client.error() == (502, "WORKER_RESET")
        visit.writer.close()
    await bench.freed()


async def test_a_lease_that_is_revoked_before_the_answer_is_a_refusal(bench: Bench) -> None:
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        await visit.body(2)
        bench.pool.leases.revoke("the deadline has passed")
        assert await client.error() == (503, "POOL_DRAINING")
        await visit.left()


async def test_a_lease_that_is_revoked_within_the_answer_cuts_it(bench: Bench) -> None:
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        await visit.body(2)
        visit.writer.write(STREAM)
        await client.head()
        bench.pool.leases.revoke("the deadline has passed")
        await client.closed()
        await visit.left()


async def test_a_lease_that_is_revoked_before_its_engine_is_reached_is_a_refusal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = bench.pool.acquire

    def hasty(*args: str, on_revoked: Callable[[str], None]) -> Lease:
        lease = acquire(*args, on_revoked=on_revoked)
        bench.pool.leases.revoke("the deadline has passed")
        return lease

    monkeypatch.setattr(bench.pool, "acquire", hasty)
    async with bench.client() as client:
        client.generate()
        assert await client.error() == (503, "POOL_DRAINING")
    await bench.freed()
    assert bench.engine.visits.empty()


async def test_a_client_that_leaves_before_its_engine_takes_it_leaves_its_slot(
    bench: Bench,
) -> None:
    with deaf_engine() as url:
        bench.pool.move(url)
        async with bench.client() as client:
            client.generate()
            await bench.taken()
        await bench.freed()


async def test_an_engine_that_takes_no_connection_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for way in ("relay", "exchange"):
        monkeypatch.setattr(f"pool_managerd.relay.{way}.CONNECT_TIMEOUT_S", 0.05)
    with deaf_engine() as url:
        bench.pool.move(url)
        async with bench.client() as client:
            client.generate()
            assert await client.error() == (502, "WORKER_RESET")
        await bench.freed()


async def test_a_request_that_comes_before_the_last_answer_has_ended_is_the_next(
    bench: Bench,
) -> None:
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        client.ask("GET", "/health")
        await visit.body(2)
        visit.writer.write(OK)
        assert await client.answer() == (200, b"ok")
        visit = await bench.next(visit)
        assert visit.head.startswith("GET /health ")
        visit.writer.write(OK)
        assert await client.answer() == (200, b"ok")


async def test_a_body_of_any_size_and_framing_goes_through(bench: Bench) -> None:
    async with bench.client() as client:
        client.ask("POST", "/tokenize", "Transfer-Encoding: chunked")
        visit = await bench.engine.visit()
        for part in (b"ab", b"cde"):
            client.writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        client.writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(5):
            sent = (await visit.reader.readuntil(b"0\r\n\r\n")).split(b"\r\n")
        assert b"".join(sent[1::2]) == b"abcde"
        assert "Transfer-Encoding: chunked" in visit.head
        visit.writer.write(OK)
        visit.writer.close()
        assert await client.answer() == (200, b"ok")

        big = b"x" * 3_000_000
        client.generate(body=big)
        visit = await bench.engine.visit()
        async with asyncio.timeout(10):
            assert await visit.body(len(big)) == big
        visit.writer.write(OK)
        assert await client.answer() == (200, b"ok")


async def test_a_body_that_ends_with_its_connection_is_passed_on_to_its_end(bench: Bench) -> None:
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        await visit.body(2)
        visit.writer.write(b"HTTP/1.1 200 OK\r\n\r\nfirst ")
        status, head = await client.head()
        assert (status, "Connection: close" in head) == (200, True)
        assert await client.reader.readexactly(6) == b"first "
        visit.writer.write(b"last")
        visit.writer.close()
        assert await client.reader.read() == b"last"
    await bench.freed()


async def test_an_engine_that_says_it_closes_holds_its_slot_until_it_does_and_not_its_client(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool_managerd.relay.link.GOODBYE_S", 0.05)
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        visit.writer.write(CLOSING)
        assert await client.answer() == (200, b"ok")
        client.generate()
        assert await client.error() == (429, "REPLICA_BUSY")
        visit.writer.close()
        await bench.freed()


async def test_a_reader_that_takes_nothing_stops_the_engine_and_grows_nothing(bench: Bench) -> None:
    async with bench.client() as client:
        client.generate()
        visit = await bench.engine.visit()
        await visit.body(2)
        visit.writer.write(STREAM)
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        expected = 0
        with pytest.raises(TimeoutError):  # noqa: PT012 - which of the writes is not the point
            while expected < 128 * 1024 * 1024:
                expected += len(piece)
                visit.writer.write(piece)
                async with asyncio.timeout(0.3):
                    await visit.writer.drain()
        await client.head()
        visit.writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(20):
            assert len(await client.reader.readexactly(expected)) == expected
            assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        assert not bench.held()


async def test_a_request_that_meets_a_closed_connection_is_sent_once_more() -> None:
    async with benched(short=True) as bench, bench.client() as client:
        client.generate()
        kept = await bench.engine.visit()
        await kept.body(2)
        kept.writer.write(OK)
        assert await client.answer() == (200, b"ok")
        client.generate(body=b"again")
        (await kept.next()).writer.transport.abort()
        fresh = await bench.engine.visit()
        assert await fresh.body(5) == b"again"
        assert bench.held() == 1
        fresh.writer.transport.abort()  # And never a third time.
        assert await client.error() == (502, "WORKER_RESET")
        assert not bench.held()


async def test_a_client_that_leaves_closes_a_kept_connection_as_any_other() -> None:
    async with benched(short=True) as bench:
        async with bench.client() as client:
            client.generate()
            kept = await bench.engine.visit()
            await kept.body(2)
            kept.writer.write(OK)
            assert await client.answer() == (200, b"ok")
            client.generate()
            await (await kept.next()).body(2)
        await kept.left()
        assert bench.held() == 1
        kept.writer.close()
        await bench.freed()


async def test_an_engine_that_has_another_address_is_asked_there() -> None:
    async with benched(short=True) as bench, PlainEngine.running() as other, bench.client() as it:
        for engine in (bench.engine, other):
            bench.pool.move(engine.url)
            it.generate()
            visit = await engine.visit()
            await visit.body(2)
            visit.writer.write(OK)
            assert await it.answer() == (200, b"ok")


async def test_passed_bytes_are_counted() -> None:
    counted: list[int] = []
    async with PlainEngine.running() as engine:
        pool = OneEngine(engine.url)
        async with relaying(pool, count=lambda _pool, size: counted.append(size)) as url:
            at = urlsplit(url)
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            visit: Visit | None = None
            for _ in range(2):
                Client(reader, writer, at.path).generate()
                visit = await (engine.visit() if visit is None else visit.next())
                await visit.body(2)
                visit.writer.write(STREAM + b"3\r\nabc\r\n0\r\n\r\n")
                await reader.readuntil(b"\r\n0\r\n\r\n")
            writer.close()
    assert sum(counted) > 2 * (len(STREAM) + 13 + 2)
