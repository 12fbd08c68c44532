"""The fast path of an event stream: from the log to the socket without waking a task."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from orchestratord.http.services import Cursor

MAX_READ_BYTES = 65_536


class Connection(Protocol):
    """The client's connection, as far as a flow needs to know it."""

    on_flow: Callable[[bool], None] | None

    @property
    def writing_paused(self) -> bool:
        """Whether the client takes no more for now."""
        ...


class Flow:
    """Writes the frames of a cursor as they come: one write for one read of the engine.

    Nobody is woken before the end, which `on_end` is told: the last frames, not yet written, or
    what the cursor has raised. While the client is slower than its frames they stay in the log.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_cursor",
        "_flowing",
        "_on_end",
        "_transport",
        "written_bytes",
    )

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        cursor: Cursor,
        *,
        chunked: bool,
        on_end: Callable[[bytes | Exception], None],
    ) -> None:
        self.written_bytes = 0
        self._connection = connection
        self._transport = transport
        self._cursor = cursor
        self._chunked = chunked
        self._on_end = on_end
        self._flowing = False

    def start(self) -> None:
        """Write what is there, and from now on what comes."""
        self._flowing = not self._connection.writing_paused
        self._connection.on_flow = self._turn
        self._cursor.follow(self._flush)
        self._flush()

    def stop(self) -> None:
        """Write nothing any more; the connection may be used for something else."""
        self._flowing = False
        self._connection.on_flow = None

    def keep_alive(self, comment: bytes) -> None:
        """Write a comment, where nothing else waits to be written."""
        if self._flowing and not self._transport.is_closing():
            self._write(comment)

    def _turn(self, on: bool) -> None:
        self._flowing = on
        if on:
            self._flush()

    def _flush(self) -> None:
        """Take and write all there is; called by whoever has appended to the log."""
        if not self._flowing or self._transport.is_closing():
            return
        cursor = self._cursor
        try:
            data = cursor.take(max_bytes=MAX_READ_BYTES)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the end
            self._end(error)
            return
        if cursor.ended:
            self._end(data)
        elif data:
            self._write(data)
            if len(data) >= MAX_READ_BYTES:
                asyncio.get_running_loop().call_soon(self._flush)

    def _write(self, data: bytes) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.written_bytes += len(data)
        self._transport.write(data)

    def _end(self, last: bytes | Exception) -> None:
        self.stop()
        self._on_end(last)
