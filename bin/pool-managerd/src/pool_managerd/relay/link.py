"""The engine's side of a relayed request: bytes in, bytes out, and nothing in between.

Once the head is rewritten, each read of the engine's socket becomes one write to the client's:
no task wakes up and nothing is awaited. A client that takes no more pauses the reading here, so
that a relay holds one read and the transport's own buffer, whatever the engine says.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, cast

from pool_managerd.relay.chunks import LAST_CHUNK, BadChunks, ChunkedBodies
from pool_managerd.relay.heads import HEAD_END, BadHead, ResponseHead, check_room, read_response
from pool_managerd.relay.kept import KeptLinks

GOODBYE_S = 1.0
"""How long a client waits for its engine to close behind a whole answer, if that says it will; the
slot waits longer."""
LET_GO_S = 600.0
"""How long an engine may go on with a request that was given up before we stop listening."""


class End(StrEnum):
    """How a relayed request ended."""

    WHOLE = "whole"
    BROKEN = "broken"
    """The engine closed its side before its answer was whole."""
    REVOKED = "revoked"
    """The lease was taken back."""
    STALE = "stale"
    """The engine had closed the kept connection when the request came: it was not begun."""


class Asking(Protocol):
    """A request that is on its way through a link."""

    def ended(self, how: End) -> None:
        """The client has all that there will be; the link is not the request's any more.

        Called once, unless the request has left before.
        """
        ...

    def let_go(self) -> None:
        """The engine has let go of the request, by a whole answer or by closing its side.

        Called once, unless the end is `STALE`.
        """
        ...


class Client(Protocol):
    """Who gets the answer; a transport is one."""

    def write(self, data: bytes, /) -> None:
        """Send it some time."""
        ...


class EngineLink(asyncio.Protocol):
    """One connection to an engine, which carries one request after the other.

    It is kept for the next once an answer is whole by its own framing, as long as the engine does
    not say that it closes. In any other case it is closed, which is what ends a generation.
    """

    __slots__ = (
        "_asking",
        "_chunks",
        "_correlation_id",
        "_engine",
        "_followed",
        "_head_bytes",
        "_keep_alive",
        "_kept",
        "_left",
        "_missing_bytes",
        "_on_made",
        "_passing",
        "_paused",
        "_room",
        "_said_goodbye",
        "_timer",
        "_whole_request",
        "_write",
        "aged",
        "ended",
        "fault",
        "head",
        "is_open",
        "passed_bytes",
        "reusable",
        "unanswered",
    )

    def __init__(
        self, kept: "KeptLinks[EngineLink]", *, on_made: Callable[[], None] = lambda: None
    ) -> None:
        self._kept = kept
        self._on_made = on_made
        """Called when the engine has taken the connection."""
        self._engine: asyncio.Transport
        self.is_open = True
        self.aged = False
        self._asking: Asking | None = None
        self._left = False
        self._said_goodbye = False
        self._passing = False
        self._paused = False
        self._chunks: ChunkedBodies | None = None
        """There once an answer came in chunks."""
        self._followed: ChunkedBodies | None = None
        """The same, while such a body is passing."""
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Event | None = None
        """There only while the engine takes no more of the request, which is seldom."""

    def carry(
        self, asking: Asking, client: Client, *, correlation_id: bytes, keep_alive: bool
    ) -> None:
        """Take a request, whose bytes are then sent, and its client."""
        self._asking = asking
        self._write = client.write
        self._correlation_id = correlation_id
        self._keep_alive = keep_alive
        self.head: ResponseHead | None = None
        """The response's, from when it has been passed on."""
        self.ended: End | None = None
        self.fault: str | None = None
        self.passed_bytes = 0
        """In both directions, heads included."""
        self.unanswered = b""
        """What was sent on a kept connection, as long as it may have to be sent on another."""
        self.reusable = False
        """Whether the client's connection can carry another request after this one."""
        self._whole_request = False
        self._head_bytes = b""

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Write to the engine."""
        if not (self._left or self._said_goodbye):
            self.passed_bytes += len(data)
            self._whole_request = last
            self._engine.write(data)

    def send_again(self, data: bytes) -> None:
        """Write a whole request to a connection that was kept, and may be closed by now."""
        self.unanswered = data
        self.passed_bytes = len(data)
        self._whole_request = True
        self._engine.write(data)

    async def sent(self) -> None:
        """Wait until the engine takes more."""
        if self._room is not None:
            await self._room.wait()

    def flow(self, on: bool) -> None:
        """Read on, or stop reading: the client's pace."""
        self._paused = not on
        if self._left or self._engine.is_closing():
            return
        if on:
            self._engine.resume_reading()
        else:
            self._engine.pause_reading()

    def end(self, how: End) -> None:
        """End it from our side; the first end counts, and none after we left."""
        asking = self._asking
        if asking is not None and self.ended is None and not self._left:
            self.ended = how
            self.leave()
            asking.ended(how)

    def leave(self) -> None:
        """Close our half and pass nothing more on; the rest closes when the engine lets go.

        The half-close tells the engine as surely as a close does, and its own close then tells
        that its handler has ended and the slot is free.
        """
        if self._left:
            return
        self._left = True
        self._passing = False
        if self._engine.is_closing():
            return
        if self._paused:
            self._engine.resume_reading()
        if self._engine.get_write_buffer_size():
            # Half a request: the end behind it would wait for an engine that does not read.
            self._engine.abort()
            return
        if not self._said_goodbye:
            self._engine.write_eof()
        self._call_later(LET_GO_S, self._engine.abort)

    def abort(self) -> None:
        """Close it at once."""
        self.is_open = False
        self._engine.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, of which small writes leave at once: the loop has seen to that."""
        self._engine = cast("asyncio.Transport", transport)
        self._on_made()
        del self._on_made  # Whom it tells may know of this link: no circle is left.

    def data_received(self, data: bytes) -> None:
        """Pass one read on: the path of every token, so no more is done than must be."""
        if self._passing:
            self._write(data)
            self._follow(data)
        elif self._asking is None:
            self.abort()  # Bytes that nobody asked for.
        elif not (self._left or self._said_goodbye):
            self._take_head(data)

    def pause_writing(self) -> None:
        """The engine is slower than the client's upload."""
        self._room = asyncio.Event()

    def resume_writing(self) -> None:
        """The engine has caught up."""
        room, self._room = self._room, None
        if room is not None:
            room.set()

    def eof_received(self) -> None:
        """The engine closed its side; the transport closes ours."""
        self.is_open = False

    def connection_lost(self, exc: Exception | None) -> None:
        """The engine has let go."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        asking, self._asking = self._asking, None
        if asking is None:
            return
        if self.unanswered and not self._left:
            self._finish(asking, End.STALE)
            return
        asking.let_go()
        self._finish(asking, End.WHOLE if exc is None and self._is_whole() else End.BROKEN)

    def _take_head(self, data: bytes) -> None:
        """Pass the head on once it is whole, in one write with what follows it."""
        self.unanswered = b""
        received = self._head_bytes + data
        try:
            while True:
                raw, end, body = received.partition(HEAD_END)
                if not end:
                    self._head_bytes = received
                    check_room(received)
                    return
                head = read_response(raw)
                if head.status >= 200:
                    break
                received = body  # That was an interim answer.
        except BadHead as error:
            self._break(str(error))
            return
        self._head_bytes = b""
        self._begin(head, body)

    def _begin(self, head: ResponseHead, body: bytes) -> None:
        self.head, self._missing_bytes = head, head.length_bytes
        self.reusable = self._keep_alive and head.ends_itself
        if head.chunked:
            chunks = self._followed = self._chunks = self._chunks or ChunkedBodies()
            chunks.begin()
        else:
            self._followed = None
        written = head.for_client(correlation_id=self._correlation_id, keep_alive=self._keep_alive)
        self.passed_bytes += len(written)
        self._write(written + body)
        self._passing = True
        self._follow(body)

    def _follow(self, data: bytes) -> None:
        """Count what was passed on, and see whether the body is whole with it."""
        self.passed_bytes += len(data)
        chunks = self._followed
        if chunks is None:
            self._count_down(len(data))
            return
        try:
            chunks.feed(data)
        except BadChunks as error:
            self._break(f"the chunks of the body are malformed: {error}")
            return
        seen = chunks.seen
        if seen.ended:
            if seen.begun > 1:
                self._break("another answer follows the body")
            else:
                # With trailers, or cut within its end, it is not looked at more closely.
                self._complete(to_the_byte=data.endswith(LAST_CHUNK))

    def _count_down(self, size_bytes: int) -> None:
        """Follow a body of known length; one that ends with its connection has none."""
        if self._missing_bytes is not None:
            self._missing_bytes -= size_bytes
            if self._missing_bytes == 0:
                self._complete(to_the_byte=True)
            elif self._missing_bytes < 0:
                self._break("the body is longer than its length")

    def _complete(self, *, to_the_byte: bool) -> None:
        """The answer is whole: the engine has let go, unless it says that it will by closing."""
        asking, head = self._asking, self.head
        assert asking is not None
        assert head is not None
        self._passing = False
        if not (head.keeps_open and self._whole_request):
            self._said_goodbye = True
            self._engine.write_eof()
            self._call_later(GOODBYE_S, lambda: self.end(End.WHOLE))
            return
        self._asking = None
        if self._paused:
            self.flow(True)
        if to_the_byte and self.is_open:
            self._kept.keep(self)
        else:
            self.abort()
        asking.let_go()
        self.ended = End.WHOLE
        asking.ended(End.WHOLE)

    def _break(self, fault: str) -> None:
        self.fault = fault
        self.end(End.BROKEN)

    def _finish(self, asking: Asking, how: End) -> None:
        if self.ended is None and not self._left:
            self.ended = how
            asking.ended(how)

    def _is_whole(self) -> bool:
        """Whether the body is whole now that the engine has closed its side."""
        head = self.head
        return head is not None and (self._said_goodbye or not head.ends_itself)

    def _call_later(self, delay_s: float, callback: Callable[[], object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, callback)
