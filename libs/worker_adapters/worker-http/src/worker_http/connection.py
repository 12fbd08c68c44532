"""One connection to an engine: a protocol that sees the bytes as they arrive."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import httptools

from adapter_api import EngineProtocolError, EngineReset, NotBegun
from worker_http.exchange import EVENT_STREAM, Exchange
from worker_http.heads import LAST_CHUNK, LAST_CHUNK_BYTES, SAME_FRAMING, StreamHeads


class Departure:
    """A call that was given up while the engine may still have been at it."""

    def __init__(self, acknowledged: asyncio.Future[bool]) -> None:
        self._acknowledged = acknowledged

    async def acknowledged(self, *, timeout_ms: int) -> bool:
        """Whether the engine, after our leaving, closed its own side: its handler has ended."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await asyncio.shield(self._acknowledged)
        except TimeoutError:
            return False


class _KnownStream:
    """What the parser tells of a stream whose head was recognised: its chunks, and its end."""

    __slots__ = ("_body", "end", "on_body", "parser")

    def __init__(self, body: list[bytes]) -> None:
        self._body = body
        self.on_body = body.append
        self.end: int | None = None
        """How many parts of the body the last read had, once the response is whole."""
        self.parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        if self.end is None:
            self.end = len(self._body)


class EngineConnection(asyncio.Protocol):
    """Carries one exchange at a time; reusable as long as `usable`.

    One timer watches it, whether it is at work or idle. It looks again so often that nothing can
    be due before: neither a request nor its end, nor a token, has to set one.
    """

    def __init__(self, heads: StreamHeads, *, idle_s: float) -> None:
        self.usable = True
        self.reused = False
        self.idle_after_stream = False
        self.idle_since_s: float | None = None
        self.lost = False
        self.on_lost: Callable[[EngineConnection], None] | None = None
        self._heads = heads
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.TimerHandle | None = None
        self._looks_at_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._body: list[bytes] = []
        self._body_end = 0
        # Called for each chunk of the body, as often as for each token: so by the parser itself.
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._known = _KnownStream(self._body)
        self._is_known = False
        self._exchange: Exchange | None = None
        self._content_type = ""
        self._retry_after_ms: int | None = None
        self._body_ends_with_connection = False
        self._stays_after_chunks = False
        self._peer_closed = False
        self._left: asyncio.Future[bool] | None = None
        self._linger: asyncio.TimerHandle | None = None

    def send(self, exchange: Exchange, request: bytes) -> None:
        """Write a request in one piece and take its response into `exchange`."""
        assert self._transport is not None
        assert self._exchange is None
        if self.lost:
            exchange.fail(NotBegun("the engine closed the connection unanswered"))
            return
        self._exchange = exchange
        self.idle_since_s = None
        self._is_known = False
        self._body_ends_with_connection = False
        # Most are over before it was idle for too long: then the same look serves for both.
        look_s = exchange.began_s + min(exchange.soonest_s, self._idle_s)
        if self._watch is None or look_s < self._looks_at_s:
            self._look_at(look_s)
        self._transport.write(request)

    def rest(self, *, after_stream: bool) -> None:
        """Be idle from now on: closed when nobody sends anything in time."""
        self.idle_after_stream = after_stream
        self.idle_since_s = self._loop.time()
        due_s = self.idle_since_s + self._idle_s
        if self._watch is None or due_s < self._looks_at_s:
            self._look_at(due_s)

    def leave(self, *, linger_ms: int) -> Departure:
        """Give up the exchange: close our side now and the whole connection when the engine has.

        The half-close tells the engine as surely as a close does, and leaves a way for its own
        close to come back. Where there is none (TLS, unsent bytes) the connection is aborted.
        """
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._left = loop.create_future()
        self.usable = False
        self._look_no_more()
        if self._exchange is not None:
            self._exchange.drop()
            self._exchange = None
        if self.lost:
            self._left.set_result(self._peer_closed)
        elif self._transport.can_write_eof() and not self._transport.get_write_buffer_size():
            if not self._transport.is_closing():
                self._transport.write_eof()
            self._linger = loop.call_later(linger_ms / 1000, self._transport.abort)
        else:
            self._transport.abort()
        return Departure(self._left)

    def abort(self) -> None:
        """Close at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; small writes leave at once."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Parse one read, hand on all it brought, and see whether the response is whole."""
        exchange = self._exchange
        if exchange is None:
            if self._left is None:
                self.abort()  # bytes that nobody asked for
            return
        if not exchange.answered:
            exchange.answered = True
            rest = self._heads.body_of(data)
            if rest is not None:
                self._is_known = True
                data = SAME_FRAMING + rest
        if self._is_known:
            self._read_known(exchange, data)
        else:
            self._read_any(exchange, data)

    def _read_known(self, exchange: Exchange, data: bytes) -> None:
        known, body = self._known, self._body
        try:
            known.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._misread(exchange)
            return
        if known.end is None:
            if body:
                exchange.read(self._joined() if body[1:] else body.pop())
            return
        del body[known.end :]
        known.end = self._exchange = None
        # What follows the end was not asked for; how it is told apart does not matter much.
        self.usable = self.usable and data[-LAST_CHUNK_BYTES:] == LAST_CHUNK
        exchange.read(self._joined(), last=True)
        exchange.complete()

    def _read_any(self, exchange: Exchange, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._misread(exchange)
            return
        if self._stays_after_chunks:
            self._stays_after_chunks = False
            self._heads.learn(data)
        body = self._body
        if self._exchange is not None:
            if body:
                exchange.read(self._joined() if body[1:] else body.pop())
            return
        del body[self._body_end :]
        exchange.read(self._joined(), last=True)
        exchange.complete()

    def _misread(self, exchange: Exchange) -> None:
        self.usable = False
        exchange.fail(EngineProtocolError("the engine's answer is not HTTP/1.1"))

    def _joined(self) -> bytes:
        """Return, once, what this read brought of the body."""
        data = b"".join(self._body)
        self._body.clear()
        return data

    def _look_at(self, due_s: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._looks_at_s = due_s
        self._watch = self._loop.call_at(due_s, self._look)

    def _look(self) -> None:
        """See whether the time of an exchange is up, or of a connection that nobody uses."""
        self._watch = None
        now_s = self._loop.time()
        exchange = self._exchange
        if exchange is not None:
            if exchange.due_s <= now_s:
                exchange.silent()
            else:
                self._look_at(min(exchange.due_s, now_s + exchange.soonest_s))
        elif self.idle_since_s is not None:
            if self.idle_since_s + self._idle_s <= now_s:
                self.abort()
            else:
                self._look_at(self.idle_since_s + self._idle_s)

    def _look_no_more(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def eof_received(self) -> None:
        """The engine closed its side; the transport closes ours."""
        self._peer_closed = True
        self.usable = False

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was under way."""
        self.lost = True
        self.usable = False
        self._look_no_more()
        if self._linger is not None:
            self._linger.cancel()
        if self._left is not None and not self._left.done():
            self._left.set_result(self._peer_closed)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if exc is None and self._body_ends_with_connection:
                exchange.complete()
            elif exchange.answered:
                exchange.fail(EngineReset("the engine's connection broke before the end"))
            else:
                exchange.fail(NotBegun("the engine closed the connection unanswered"))
        if self.on_lost is not None:
            self.on_lost(self)
        # They hold each other: no work for the garbage collector.
        del self._parser, self._known.parser

    # httptools

    def on_message_begin(self) -> None:
        """Forget the last response's headers; a response that nobody asked for spoils all."""
        self.usable = self.usable and self._exchange is not None
        self._content_type = ""
        self._retry_after_ms = None
        self._stays_after_chunks = False
        self._body_ends_with_connection = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few that matter."""
        name = name.lower()
        if name == b"content-type":
            self._content_type = value.decode("latin-1").partition(";")[0].strip().lower()
        elif name in (b"content-length", b"transfer-encoding"):
            self._body_ends_with_connection = False
            self._stays_after_chunks = value == b"chunked"
        elif name == b"retry-after" and value.isdigit() and len(value) < 7:
            self._retry_after_ms = int(value) * 1000

    def on_headers_complete(self) -> None:
        """Tell the exchange what kind of response it is."""
        status = self._parser.get_status_code()
        self._stays_after_chunks = (
            self._stays_after_chunks
            and status == 200
            and self._content_type == EVENT_STREAM
            and self._parser.should_keep_alive()
        )
        if self._exchange is not None and status >= 200:
            self._exchange.head(status, self._content_type, self._retry_after_ms)

    def on_message_complete(self) -> None:
        """The response is whole, unless it only said that one will come."""
        if self._parser.get_status_code() >= 200:
            if self._exchange is not None:
                self._body_end = len(self._body)
            self._exchange = None
            self.usable = self.usable and self._parser.should_keep_alive()
