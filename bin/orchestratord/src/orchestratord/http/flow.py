"""The fast path of an event stream: from the log to the socket without waking a task."""

import asyncio

from aiohttp import web

from orchestratord.http.services import Cursor

MAX_READ_BYTES = 65_536


class Flow:
    """Writes the frames of a cursor as they come: one write for one read of the engine.

    The handler's task sleeps meanwhile. It is woken for the end, or to wait for a client that is
    slower than its frames: what it does not take stays in the log.
    """

    __slots__ = (
        "_chunked",
        "_cursor",
        "_last",
        "_loop",
        "_protocol",
        "_transport",
        "_waiter",
        "_writer",
    )

    def __init__(
        self, request: web.Request, transport: asyncio.Transport, cursor: Cursor, *, chunked: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = request.protocol
        self._writer = request.writer
        self._transport = transport
        self._cursor = cursor
        self._chunked = chunked
        self._last = b""
        self._waiter: asyncio.Future[None] = self._loop.create_future()

    async def last_frames(self) -> bytes:
        """Write all but the last frames, which are returned once the cursor has ended."""
        self._cursor.follow(self._flush)
        self._flush()
        while True:
            await self._waiter
            if self._cursor.ended:
                return self._last
            await self._writer.drain()
            self._waiter = self._loop.create_future()
            self._flush()

    def keep_alive(self, comment: bytes) -> None:
        """Write a comment, where nothing else waits to be written."""
        if not self._waiter.done() and not self._protocol.writing_paused:
            self._write(comment)

    def _write(self, data: bytes) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._writer.output_size += len(data)
        self._transport.write(data)

    def _flush(self) -> None:
        """Take and write all there is; called by whoever has appended to the log."""
        if self._waiter.done() or self._transport.is_closing():
            return
        if self._protocol.writing_paused:
            self._waiter.set_result(None)
            return
        try:
            self._take()
        except Exception as error:  # noqa: BLE001 - it belongs to the handler, who waits
            self._waiter.set_exception(error)

    def _take(self) -> None:
        data = self._cursor.take(max_bytes=MAX_READ_BYTES)
        if self._cursor.ended:
            self._last = data
            self._waiter.set_result(None)
        elif data:
            self._write(data)
            if len(data) >= MAX_READ_BYTES:
                self._loop.call_soon(self._flush)
