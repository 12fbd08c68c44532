"""The one timer of an event stream: it keeps the stream alive in silence, and cuts slow readers.

No write can tell that a reader takes nothing: it only waits.
"""

import asyncio
from collections.abc import Callable

from orchestratord.http.flow import Connection, Flow
from orchestratord.http.services import Cursor

KEEP_ALIVE = b": keep-alive\n\n"
STALL_CHECK_S = 5.0


class Watch:
    """Looks after one stream until it is stopped; `head_bytes` is what left besides its flow."""

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        cursor: Cursor,
        *,
        head_bytes: Callable[[], int],
        keep_alive_s: float,
        stall_limit_s: float,
    ) -> None:
        self.flow: Flow | None = None
        """What may be kept alive now."""
        self._connection = connection
        self._transport = transport
        self._cursor = cursor
        self._head_bytes = head_bytes
        self._limit_s = stall_limit_s
        self._loop = asyncio.get_running_loop()
        self._interval_s = min(STALL_CHECK_S, stall_limit_s / 4, keep_alive_s / 3)
        self._silence_s = keep_alive_s - self._interval_s
        self._written_bytes = 0
        self._taken_bytes = 0
        self._written_at_s = self._taken_at_s = self._loop.time()
        self._timer = self._again()
        self.has_cut = False

    def stop(self) -> None:
        """End the watch."""
        self._timer.cancel()

    def _again(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._interval_s, self._check)

    def _check(self) -> None:
        if self._transport.is_closing():
            return
        written_bytes = self._head_bytes()
        if self.flow is not None:
            written_bytes += self.flow.written_bytes
        taken_bytes = written_bytes - self._transport.get_write_buffer_size()
        now_s = self._loop.time()
        if written_bytes != self._written_bytes:
            self._written_bytes, self._written_at_s = written_bytes, now_s
        elif self.flow is not None and now_s - self._written_at_s >= self._silence_s:
            self.flow.keep_alive(KEEP_ALIVE)
        if not self._connection.writing_paused or taken_bytes != self._taken_bytes:
            self._taken_bytes, self._taken_at_s = taken_bytes, now_s
        elif self._cursor.fell_off or now_s - self._taken_at_s >= self._limit_s:
            self.has_cut = True
            # Without the end of the body, so that the client sees that frames are missing.
            self._transport.abort()
            return
        self._timer = self._again()
