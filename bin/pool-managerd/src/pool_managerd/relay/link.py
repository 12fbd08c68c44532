"""The engine's side of a relayed request: bytes in, bytes out, and nothing in between.

Once the head is rewritten, each read of the engine's socket becomes one write to the client's:
no task wakes up and nothing is awaited. A client that takes no more pauses the reading here, so
that a relay holds one read and the transport's own buffer, whatever the engine says.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import cast

from pool_managerd.relay.heads import (
    LAST_CHUNK,
    TAIL_BYTES,
    BadHead,
    ResponseHead,
    response_head,
    split_head,
)

GOODBYE_S = 1.0
"""How long a client waits for its engine to close behind a whole answer; the slot waits longer."""
LET_GO_S = 600.0
"""How long an engine may go on with a request that was given up before we stop listening."""


class End(StrEnum):
    """How a relayed request ended."""

    WHOLE = "whole"
    BROKEN = "broken"
    """The engine closed its side before its answer was whole."""
    REVOKED = "revoked"
    """The lease was taken back."""


class EngineLink(asyncio.Protocol):
    """One connection to an engine, for one request.

    `on_made` is called when the engine has taken the connection, and `on_end` when the client has
    all that there will be, unless we left before. `on_gone` is called once, when the engine has
    closed its side: only then it has let go of the request.
    """

    __slots__ = (
        "_body_bytes",
        "_correlation_id",
        "_engine",
        "_head_bytes",
        "_keep_alive",
        "_last",
        "_left",
        "_length",
        "_on_end",
        "_on_gone",
        "_on_made",
        "_passing",
        "_paused",
        "_room",
        "_said_goodbye",
        "_sent_bytes",
        "_timer",
        "_write",
        "ended",
        "fault",
        "head",
    )

    def __init__(
        self,
        client: asyncio.Transport,
        *,
        correlation_id: str,
        keep_alive: bool,
        on_made: Callable[[], None] = lambda: None,
        on_end: Callable[[End], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._engine: asyncio.Transport
        self.head: ResponseHead | None = None
        """The response's, from when it has been passed on."""
        self.ended: End | None = None
        self.fault: str | None = None
        self._write = client.write
        self._correlation_id = correlation_id
        self._keep_alive = keep_alive
        self._on_made = on_made
        self._on_end = on_end
        self._on_gone = on_gone
        self._head_bytes = b""
        self._sent_bytes = 0
        self._body_bytes = 0
        self._last = b""
        self._length: int | None = None
        self._passing = False
        self._left = False
        self._said_goodbye = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Event | None = None
        """There only while the engine takes no more of the request, which is seldom."""

    @property
    def passed_bytes(self) -> int:
        """In both directions, heads included."""
        head_bytes = 0 if self.head is None else len(self.head.for_client)
        return self._sent_bytes + head_bytes + self._body_bytes

    @property
    def reusable(self) -> bool:
        """Whether the client's connection can carry another request after this one."""
        head = self.head
        return self._keep_alive and head is not None and head.framing.ends_itself

    def send(self, data: bytes) -> None:
        """Write to the engine."""
        if not self._left:
            self._sent_bytes += len(data)
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
        """Tell how it ended; the first end counts, and none after we left."""
        if self.ended is None and not self._left:
            self.ended = how
            self._on_end(how)

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
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(LET_GO_S, self._engine.abort)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, of which small writes leave at once: the loop has seen to that."""
        self._engine = cast("asyncio.Transport", transport)
        self._on_made()

    def data_received(self, data: bytes) -> None:
        """Pass one read on: the path of every token, so no more is done than must be."""
        if not self._passing:
            if not self._left:
                self._take_head(data)
            return
        self._write(data)
        size = len(data)
        self._body_bytes += size
        if size < TAIL_BYTES:
            self._note_end(self._last[-TAIL_BYTES:] + data)
        elif data.endswith(LAST_CHUNK) or self._body_bytes == self._length:
            self._note_end(data)
        else:
            self._last = data

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

    def connection_lost(self, exc: Exception | None) -> None:
        """The engine has let go."""
        self.end(End.WHOLE if exc is None and self._is_whole() else End.BROKEN)
        self._left = True
        self.resume_writing()
        if self._timer is not None:
            self._timer.cancel()
        self._on_gone()
        # Whom they tell may know of this link: no circle is left to the collector.
        del self._on_made, self._on_end, self._on_gone

    def _take_head(self, data: bytes) -> None:
        """Pass the head on once it is whole, in one write with what follows it."""
        self._head_bytes += data
        try:
            while (cut := split_head(self._head_bytes)) is not None:
                raw, self._head_bytes = cut
                head = response_head(
                    raw, correlation_id=self._correlation_id, keep_alive=self._keep_alive
                )
                if not head.is_interim:
                    self._begin(head)
                    return
        except BadHead as error:
            self.fault = str(error)
            self.end(End.BROKEN)

    def _begin(self, head: ResponseHead) -> None:
        body, self._head_bytes = self._head_bytes, b""
        self.head, self._length = head, head.framing.length_bytes
        self._passing = True
        self._body_bytes = len(body)
        self._write(head.for_client + body)
        self._note_end(body)

    def _note_end(self, received: bytes) -> None:
        """Say goodbye behind a whole response: an engine that keeps connections would wait."""
        self._last = received[-TAIL_BYTES:]
        if self._ends_itself() and not self._said_goodbye:
            self._said_goodbye = True
            self._engine.write_eof()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(GOODBYE_S, self.end, End.WHOLE)

    def _ends_itself(self) -> bool:
        """Whether the body is whole by its own framing."""
        if self.head is None:
            return False
        return self.head.framing.is_whole(self._body_bytes, self._last[-TAIL_BYTES:])

    def _is_whole(self) -> bool:
        """Whether the body is whole now that the engine has closed its side."""
        head = self.head
        return head is not None and (not head.framing.ends_itself or self._ends_itself())
