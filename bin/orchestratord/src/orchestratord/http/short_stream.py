"""The event stream of a task on the short way: written by whoever brings its frames."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from aiohttp import web

from http_shell import CLIENT_GONE, HeadTemplate, ShortConnection, answer_bytes
from orchestratord.http.flow import MAX_READ_BYTES
from orchestratord.http.handlers import Context
from orchestratord.http.services import Cursor
from orchestratord.http.sse import SOCKET_BUFFER_BYTES, STREAM_HEADERS, Streamed
from orchestratord.http.watch import KEEP_ALIVE, Watch

_HEAD: Final = HeadTemplate(200, "OK", {**STREAM_HEADERS, "Transfer-Encoding": "chunked"})
_LAST_CHUNK = b"0\r\n\r\n"


class Counted(Protocol):
    """Counts an answer."""

    def __call__(self, *, status: int) -> None:
        """Say what became of it."""
        ...


class ShortStream:
    """Does what the aiohttp handler of a stream does, without a task that sleeps beside it.

    `failed` makes the answer of what the cursor raises while there is still a status to give, and
    `counted` is told the status in the end.
    """

    __slots__ = (
        "_answer_headers",
        "_connection",
        "_context",
        "_counted",
        "_cursor",
        "_failed",
        "_flowing",
        "_over",
        "_since_s",
        "_streamed",
        "_transport",
        "_watch",
        "written_bytes",
    )

    def __init__(
        self,
        context: Context,
        streamed: Streamed,
        connection: ShortConnection,
        *,
        answer_headers: Mapping[str, str],
        since_s: float,
        failed: Callable[[Exception], web.Response],
        counted: Counted,
    ) -> None:
        self.written_bytes = 0
        """Of frames and comments: until the head goes there are none."""
        self._context = context
        self._streamed = streamed
        self._cursor: Cursor = streamed.cursor
        self._answer_headers = answer_headers
        self._connection = connection
        self._transport: asyncio.Transport = connection.transport
        self._since_s = since_s
        self._failed = failed
        self._counted = counted
        self._flowing = True
        self._watch: Watch | None = None
        """There is none before somebody looks: most streams are over by then."""
        self._over = False

    def start(self) -> None:
        """Write what is there, and from now on what comes."""
        connection = self._connection
        self._context.services.observer.stream_opened()
        self._flowing = not connection.writing_paused
        connection.on_flow = self._turn
        self._cursor.follow(self._flow)
        self._flow()
        if not self._over:
            self._context.rounds.join(self)

    def lost(self) -> None:
        """The client has gone."""
        self._end(CLIENT_GONE)

    def look(self, now_s: float) -> None:
        """Begin without a frame where none comes; else see that it is neither silent nor stuck."""
        if self._over:
            return
        context, wait_s = self._context, self._streamed.hold_s
        if not self.written_bytes:
            if wait_s is None:
                wait_s = context.keep_alive_s - context.rounds.interval_s
            if now_s - self._since_s >= wait_s and not self._transport.is_closing():
                self._streamed.commit()
                self._write(KEEP_ALIVE)
            return
        if self._watch is None:
            self._watch = Watch(
                self._connection,
                self._transport,
                self._cursor,
                flow=self,
                interval_s=context.rounds.interval_s,
                keep_alive_s=context.keep_alive_s,
                stall_limit_s=context.stall_limit_s,
            )
        self._watch.look(now_s)

    def keep_alive(self, comment: bytes) -> None:
        """Write a comment, where nothing else waits to be written."""
        if self._flowing:
            self._write(comment)

    def _turn(self, on: bool) -> None:
        self._flowing = on
        if on:
            self._flow()

    def _flow(self) -> None:
        """Take and write all there is; called by whoever has appended to the log."""
        if self._over or not self._flowing or self._transport.is_closing():
            return
        cursor = self._cursor
        try:
            frames = cursor.take(max_bytes=MAX_READ_BYTES)
        except Exception as error:  # noqa: BLE001 - whatever it is has an answer, or is told
            self._fail(error)
            return
        if cursor.ended:
            self._write_last(frames)
        elif frames and self._write(frames) >= MAX_READ_BYTES:
            asyncio.get_running_loop().call_soon(self._flow)

    def _write(self, frames: bytes) -> int:
        """Write a chunk, and the head before the first one; returns the length of the frames."""
        size = len(frames)
        data = b"%x\r\n%b\r\n" % (size, frames)
        if not self.written_bytes:
            self._transport.set_write_buffer_limits(high=SOCKET_BUFFER_BYTES)
            data = self._head() + data
        self.written_bytes += size
        self._transport.write(data)
        return size

    def _head(self) -> bytes:
        return _HEAD.head({**self._streamed.headers, **self._answer_headers})

    def _fail(self, error: Exception) -> None:
        response = self._failed(error)  # It is told in the log as well.
        if self.written_bytes:
            self._transport.abort()  # For an answer it is too late.
            self._end(500)
            return
        response.headers.update(self._answer_headers)
        self._transport.write(answer_bytes(response))
        self._end(response.status)

    def _write_last(self, frames: bytes) -> None:
        if self._cursor.fell_off:
            self._transport.abort()
        else:
            head = b"" if self.written_bytes else self._head()
            chunk = b"%x\r\n%b\r\n" % (len(frames), frames) if frames else b""
            self._transport.write(head + chunk + _LAST_CHUNK)
        self._end(200)

    def _end(self, status: int) -> None:
        if self._over:
            return
        self._over = True
        context, watch = self._context, self._watch
        context.rounds.leave(self)
        # They know each other: a circle would keep the whole task until a look at all garbage.
        self._watch = None
        self._cursor.close(by_server=watch is not None and watch.has_cut)
        context.services.observer.stream_closed()
        self._counted(status=status)
        self._connection.answered()
