"""What becomes of an event stream with time: it is kept alive in silence, and cut where it stalls.

No write can tell that a reader takes nothing: it only waits.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from orchestratord.http.flow import Connection
from orchestratord.http.services import Cursor

KEEP_ALIVE = b": keep-alive\n\n"
_MAX_INTERVAL_S = 1.0


def interval_of(*, keep_alive_s: float, stall_limit_s: float) -> float:
    """Return how often a stream is to be looked at, so that it is neither late nor cut early."""
    return min(_MAX_INTERVAL_S, stall_limit_s / 4, keep_alive_s / 3)


class Flowing(Protocol):
    """What is written to a client, as far as a watch needs to know it."""

    written_bytes: int

    def keep_alive(self, comment: bytes) -> None:
        """Write a comment, where nothing else waits to be written."""
        ...


class Watch:
    """Looks after one stream; `head_bytes` is what left besides its flow."""

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        cursor: Cursor,
        *,
        flow: Flowing | None = None,
        head_bytes: Callable[[], int] = lambda: 0,
        interval_s: float,
        keep_alive_s: float,
        stall_limit_s: float,
    ) -> None:
        self.flow = flow
        """What may be kept alive now."""
        self._connection = connection
        self._transport = transport
        self._cursor = cursor
        self._head_bytes = head_bytes
        self._limit_s = stall_limit_s
        # It may have been silent for an interval before that is seen.
        self._silence_s = keep_alive_s - interval_s
        self._written_bytes = self._taken_bytes = -1
        self._written_at_s = self._taken_at_s = 0.0
        self.has_cut = False

    def look(self, now_s: float) -> None:
        """Write a comment after silence; break off what has taken nothing for too long."""
        if self._transport.is_closing():
            return
        written_bytes = self._head_bytes()
        if self.flow is not None:
            written_bytes += self.flow.written_bytes
        taken_bytes = written_bytes - self._transport.get_write_buffer_size()
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
