"""The fast path of an event stream: from the log to the socket without waking a task."""

import asyncio

from aiohttp import web

from orchestratord.http.services import Cursor

MAX_READ_BYTES = 65_536


class Flow:
    """Writes the frames of a cursor as they come, once for each turn of the event loop.

    The handler's task sleeps meanwhile. It is woken for the end, or to wait for a client that is
    slower than its frames: what it does not take stays in the log.
    """

    __slots__ = (
        "_cursor",
        "_due",
        "_framed",
        "_last",
        "_loop",
        "_request",
        "_transport",
        "_waiter",
    )

    def __init__(
        self, request: web.Request, transport: asyncio.Transport, cursor: Cursor, *, chunked: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._transport = transport
        self._cursor = cursor
        self._framed = b"%x\r\n%b\r\n" if chunked else None
        self._due = False
        self._last = b""
        self._waiter: asyncio.Future[None] = self._loop.create_future()

    async def last_frames(self) -> bytes:
        """Write all but the last frames, which are returned once the cursor has ended."""
        self._cursor.follow(self._news)
        self._flush()
        while True:
            await self._waiter
            if self._cursor.ended:
                return self._last
            await self._request.writer.drain()
            self._waiter = self._loop.create_future()
            self._flush()

    def keep_alive(self, comment: bytes) -> None:
        """Write a comment, where nothing else waits to be written."""
        if not self._waiter.done() and not self._request.protocol.writing_paused:
            self._write(comment)

    def _write(self, data: bytes) -> None:
        if self._framed is not None:
            data = self._framed % (len(data), data)
        self._request.writer.output_size += len(data)
        self._transport.write(data)

    def _news(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        if self._waiter.done():
            return
        if self._request.protocol.writing_paused:
            self._waiter.set_result(None)
            return
        try:
            data = self._cursor.take(max_bytes=MAX_READ_BYTES)
        except Exception as error:  # noqa: BLE001 - it belongs to the handler, who waits
            self._waiter.set_exception(error)
            return
        if self._cursor.ended:
            self._last = data
            self._waiter.set_result(None)
        elif data:
            self._write(data)
            if len(data) >= MAX_READ_BYTES:
                self._news()
