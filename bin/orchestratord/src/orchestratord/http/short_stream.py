"""The event stream of a task on the short way: written by whoever brings its frames."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from http_shell import CLIENT_GONE, Call, ShortConnection, answer_bytes, head_bytes
from orchestratord.http.flow import MAX_READ_BYTES, Flow
from orchestratord.http.handlers import Context
from orchestratord.http.services import Cursor
from orchestratord.http.sse import SOCKET_BUFFER_BYTES, STREAM_HEADERS, Streamed
from orchestratord.http.watch import KEEP_ALIVE, Watch

_CHUNKED = {"Transfer-Encoding": "chunked"}
_LAST_CHUNK = b"0\r\n\r\n"


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
        "_flow",
        "_hold",
        "_over",
        "_streamed",
        "_transport",
        "_watch",
    )

    def __init__(
        self,
        context: Context,
        call: Call[Any, Any],
        streamed: Streamed,
        connection: ShortConnection,
        *,
        failed: Callable[[Exception], web.Response],
        counted: Callable[[int], None],
    ) -> None:
        self._context = context
        self._streamed = streamed
        self._cursor: Cursor = streamed.cursor
        self._answer_headers = call.answer_headers
        self._connection = connection
        self._transport: asyncio.Transport = connection.transport
        self._failed = failed
        self._counted = counted
        self._flow: Flow | None = None
        self._watch: Watch | None = None
        self._hold: asyncio.TimerHandle | None = None
        self._over = False

    def start(self) -> None:
        """Write what is there, and from now on what comes."""
        self._context.services.observer.stream_opened()
        self._look()
        if self._flow is None and not self._over:
            self._cursor.follow(self._look)
            wait_s = self._streamed.hold_s or self._context.keep_alive_s
            self._hold = asyncio.get_running_loop().call_later(wait_s, self._begin_in_silence)

    def lost(self) -> None:
        """The client has gone."""
        self._end(CLIENT_GONE)

    def _look(self) -> None:
        """Begin to answer if there is anything to answer with."""
        if self._over or self._flow is not None or self._transport.is_closing():
            return
        try:
            frames = self._cursor.take(max_bytes=MAX_READ_BYTES)
        except Exception as error:  # noqa: BLE001 - whatever it is has an answer
            response = self._failed(error)
            response.headers.update(self._answer_headers)
            self._transport.write(answer_bytes(response))
            self._end(response.status)
            return
        if self._cursor.ended:
            self._write_last(self._head(), frames)
        elif frames:
            self._begin(frames)

    def _begin_in_silence(self) -> None:
        self._streamed.commit()
        self._begin(KEEP_ALIVE)

    def _begin(self, frames: bytes) -> None:
        transport, context = self._transport, self._context
        if self._hold is not None:
            self._hold.cancel()
        transport.set_write_buffer_limits(high=SOCKET_BUFFER_BYTES)
        head = self._head()
        transport.write(b"%b%x\r\n%b\r\n" % (head, len(frames), frames))
        self._watch = Watch(
            self._connection,
            transport,
            self._cursor,
            head_bytes=head.__len__,
            keep_alive_s=context.keep_alive_s,
            stall_limit_s=context.stall_limit_s,
        )
        self._flow = self._watch.flow = Flow(
            self._connection, transport, self._cursor, chunked=True, on_end=self._last
        )
        self._flow.start()

    def _head(self) -> bytes:
        headers = {**STREAM_HEADERS, **self._streamed.headers, **self._answer_headers, **_CHUNKED}
        return head_bytes(200, "OK", headers)

    def _last(self, frames: bytes | Exception) -> None:
        if isinstance(frames, Exception):
            self._failed(frames)  # It is told in the log: for an answer it is too late.
            self._transport.abort()
            self._end(500)
        else:
            self._write_last(b"", frames)

    def _write_last(self, head: bytes, frames: bytes) -> None:
        if self._cursor.fell_off:
            self._transport.abort()
        elif not self._transport.is_closing():
            chunk = b"%x\r\n%b\r\n" % (len(frames), frames) if frames else b""
            self._transport.write(head + chunk + _LAST_CHUNK)
        self._end(200)

    def _end(self, status: int) -> None:
        if self._over:
            return
        self._over = True
        if self._hold is not None:
            self._hold.cancel()
        if self._flow is not None:
            self._flow.stop()
        watch = self._watch
        if watch is not None:
            watch.stop()
        self._cursor.close(by_server=watch is not None and watch.has_cut)
        # They know each other: a circle would keep the whole task until a look at all garbage.
        self._flow = self._watch = None
        self._context.services.observer.stream_closed()
        self._counted(status)
        self._connection.answered()
