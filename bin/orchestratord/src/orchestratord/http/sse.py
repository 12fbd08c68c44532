"""The event stream of a task: its beginning, its end, and readers that take nothing."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import hdrs, web

from api_types import EVENT_STREAM
from http_shell import Call, ClientConnection
from orchestratord.http.flow import MAX_READ_BYTES, Flow
from orchestratord.http.services import Cursor, HttpObserver

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": keep-alive\n\n"
SOCKET_BUFFER_BYTES = 32_768
"""What may wait in this process for a slow reader; all else waits in the task's bounded log."""
STALL_CHECK_S = 5.0

_HEADERS = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


class _EventStream(web.StreamResponse):
    """Its headers leave with the first frames, in one packet."""

    _send_headers_immediately = False


async def stream(
    call: Call[Any, Any],
    cursor: Cursor,
    observer: HttpObserver,
    *,
    headers: Mapping[str, str],
    keep_alive_s: float = KEEP_ALIVE_S,
    stall_limit_s: float,
) -> web.StreamResponse:
    """Write the frames of `cursor` until the terminal one; the cursor is closed in any case.

    A reader that falls off the log, or takes nothing for `stall_limit_s`, is cut off without a
    terminal frame: it may come back with Last-Event-ID.
    """
    request = call.request
    response = _EventStream(headers={**_HEADERS, **headers, **call.answer_headers})
    watch = _Watch(request, cursor, keep_alive_s=keep_alive_s, stall_limit_s=stall_limit_s)
    observer.stream_opened()
    try:
        # The first read comes before the headers, so that its failure still has a status.
        frames = await cursor.read(timeout_s=keep_alive_s, max_bytes=MAX_READ_BYTES)
        await response.prepare(request)
        transport = request.transport
        if not cursor.ended and transport is not None:
            transport.set_write_buffer_limits(high=SOCKET_BUFFER_BYTES)
            await response.write(frames or KEEP_ALIVE)
            chunked = hdrs.TRANSFER_ENCODING in response.headers
            frames = await _flow(request, transport, cursor, watch, chunked=chunked)
        if cursor.fell_off:
            _cut(request)
        else:
            await response.write_eof(frames)
    finally:
        watch.stop()
        cursor.close(by_server=watch.has_cut)
        observer.stream_closed()
    return response


async def _flow(
    request: web.Request,
    transport: asyncio.Transport,
    cursor: Cursor,
    watch: "_Watch",
    *,
    chunked: bool,
) -> bytes:
    """Let all frames but the last flow to the client, and return those once they are there."""
    end: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def note(last: bytes | Exception) -> None:
        if isinstance(last, Exception):
            end.set_exception(last)
        else:
            end.set_result(last)

    connection = cast("ClientConnection", request.protocol)
    flow = watch.flow = Flow(connection, transport, cursor, chunked=chunked, on_end=note)
    try:
        flow.start()
        return await end
    finally:
        flow.stop()
        watch.flow = None


class _Watch:
    """One timer a stream: keeps it alive in silence, and cuts a reader that takes nothing.

    No write can tell the latter: it only waits.
    """

    def __init__(
        self,
        request: web.Request,
        cursor: Cursor,
        *,
        keep_alive_s: float,
        stall_limit_s: float,
    ) -> None:
        self.flow: Flow | None = None
        """What may be kept alive now."""
        self._request = request
        self._cursor = cursor
        self._limit_s = stall_limit_s
        self._loop = asyncio.get_running_loop()
        self._interval_s = min(STALL_CHECK_S, stall_limit_s / 4, keep_alive_s / 3)
        self._silence_s = keep_alive_s - self._interval_s
        self._written_bytes = 0
        self._written_at_s = self._loop.time()
        self._taken_bytes = 0
        self._taken_at_s = self._loop.time()
        self._timer = self._again()
        self.has_cut = False

    def stop(self) -> None:
        """End the watch."""
        self._timer.cancel()

    def _again(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._interval_s, self._check)

    def _check(self) -> None:
        transport = self._request.transport
        if transport is None:
            return
        written_bytes = self._request.writer.output_size
        if self.flow is not None:
            written_bytes += self.flow.written_bytes
        taken_bytes = written_bytes - transport.get_write_buffer_size()
        now_s = self._loop.time()
        if written_bytes != self._written_bytes:
            self._written_bytes, self._written_at_s = written_bytes, now_s
        elif self.flow is not None and now_s - self._written_at_s >= self._silence_s:
            self.flow.keep_alive(KEEP_ALIVE)
        if not self._request.protocol.writing_paused or taken_bytes != self._taken_bytes:
            self._taken_bytes, self._taken_at_s = taken_bytes, now_s
        elif self._cursor.fell_off or now_s - self._taken_at_s >= self._limit_s:
            self.has_cut = True
            _cut(self._request)
            return
        self._timer = self._again()


def _cut(request: web.Request) -> None:
    """Close without the end of the body, so that the client sees that frames are missing."""
    if request.transport is not None:
        request.transport.abort()
