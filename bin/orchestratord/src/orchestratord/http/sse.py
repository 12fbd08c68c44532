"""The event stream of a task as aiohttp's handlers write it: its beginning and its end."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from aiohttp import hdrs, web

from api_types import EVENT_STREAM
from http_shell import Call, ClientConnection
from orchestratord.http.flow import MAX_READ_BYTES, Flow
from orchestratord.http.handlers import Context
from orchestratord.http.services import Cursor
from orchestratord.http.watch import KEEP_ALIVE, Watch

KEEP_ALIVE_S = 15.0
SOCKET_BUFFER_BYTES = 32_768
"""What may wait in this process for a slow reader; all else waits in the task's bounded log."""

STREAM_HEADERS = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


class Streamed(msgspec.Struct, frozen=True):
    """An answer that is the event stream of a task; whoever gives it closes the cursor."""

    cursor: Cursor
    headers: Mapping[str, str]
    hold_s: float | None = None
    """How long its head waits for the first frames; None: until something must keep it alive."""
    commit: Callable[[], None] = lambda: None
    """Called where the head goes before any frame: from then on a failure has no status."""


async def give(
    context: Context, call: Call[Any, Any], answer: web.Response | Streamed
) -> web.StreamResponse:
    """Give an answer that was decided on, as aiohttp's handlers do."""
    if isinstance(answer, web.Response):
        return answer
    return await _stream(context, call, answer)


class _EventStream(web.StreamResponse):
    """Its headers leave with the first frames, in one packet."""

    _send_headers_immediately = False


async def _stream(context: Context, call: Call[Any, Any], streamed: Streamed) -> web.StreamResponse:
    """Write the frames of a cursor until the terminal one; the cursor is closed in any case.

    A reader that falls off the log, or takes nothing for too long, is cut off without a terminal
    frame: it may come back with Last-Event-ID.
    """
    request, cursor = call.request, streamed.cursor
    observer = context.services.observer
    response = _EventStream(headers={**STREAM_HEADERS, **streamed.headers, **call.answer_headers})
    watch: Watch | None = None
    observer.stream_opened()
    try:
        # The first read comes before the headers, so that its failure still has a status.
        frames = await first_frames(cursor, hold_s=streamed.hold_s or context.keep_alive_s)
        streamed.commit()
        await response.prepare(request)
        transport = request.transport
        if not cursor.ended and transport is not None:
            transport.set_write_buffer_limits(high=SOCKET_BUFFER_BYTES)
            connection = cast("ClientConnection", request.protocol)
            watch = Watch(
                connection,
                transport,
                cursor,
                head_bytes=lambda: request.writer.output_size,
                interval_s=context.rounds.interval_s,
                keep_alive_s=context.keep_alive_s,
                stall_limit_s=context.stall_limit_s,
            )
            context.rounds.join(watch)
            await response.write(frames or KEEP_ALIVE)
            chunked = hdrs.TRANSFER_ENCODING in response.headers
            frames = await _flow(connection, transport, cursor, watch, chunked=chunked)
        if not cursor.fell_off:
            await response.write_eof(frames)
        elif request.transport is not None:
            request.transport.abort()
    finally:
        if watch is not None:
            context.rounds.leave(watch)
        cursor.close(by_server=watch is not None and watch.has_cut)
        observer.stream_closed()
    return response


async def first_frames(cursor: Cursor, *, hold_s: float) -> bytes:
    """Return the first frames, or nothing if there are none in this time."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + hold_s
    while (left_s := until_s - loop.time()) > 0:
        # What wakes a reader may be nothing in its dialect.
        frames = await cursor.read(timeout_s=left_s, max_bytes=MAX_READ_BYTES)
        if frames or cursor.ended:
            return frames
    return b""


async def _flow(
    connection: ClientConnection,
    transport: asyncio.Transport,
    cursor: Cursor,
    watch: Watch,
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

    flow = watch.flow = Flow(connection, transport, cursor, chunked=chunked, on_end=note)
    try:
        flow.start()
        return await end
    finally:
        flow.stop()
        watch.flow = None
