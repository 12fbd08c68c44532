"""A streamed answer: its headers wait for the first chunk, so that a failure keeps its status."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from api_types import ApiError, ErrorCode
from orchestratord.http.services import Cursor
from orchestratord.openai.chunks import Chunks
from orchestratord.openai.errors import upstream

HOLD_S = 10.0
"""How long the first chunk is waited for before the headers go without it."""


class ChunkCursor:
    """A task's cursor, without the frames that become no chunk, and with failures as chunks."""

    def __init__(
        self, cursor: Cursor, chunks: Chunks, *, correlation_id: str, hold_s: float = HOLD_S
    ) -> None:
        self._cursor = cursor
        self._chunks = chunks
        self._correlation_id = correlation_id
        self._hold_s = hold_s
        self._committed = False
        """A success was told to the client: a failure is only another chunk from now on."""
        self.ended = False

    @property
    def fell_off(self) -> bool:
        """The log went past this reader."""
        return self._cursor.fell_off

    async def read(self, *, timeout_s: float, max_bytes: int = 65_536) -> bytes:
        """Return the chunks that are there now; a failure is the last of them.

        The first read raises the failure of a task that never began to answer: ApiError.
        """
        data = await self._next(timeout_s if self._committed else self._hold_s, max_bytes)
        data = self._last(data) if self._cursor.ended else data
        self._committed = True
        return data

    def take(self, *, max_bytes: int = 65_536) -> bytes:
        """Return the chunks that are there, without waiting; raises and ends as `read` does."""
        data = self._cursor.take(max_bytes=max_bytes)
        if self._cursor.ended:
            data = self._last(data)
        if data:
            self._committed = True
        return data

    def commit(self) -> None:
        """Tell no failure by a status any more."""
        self._committed = True

    def follow(self, news: Callable[[], None]) -> None:
        """Have `news` called whenever there may be chunks to take."""
        self._cursor.follow(news)

    def _last(self, data: bytes) -> bytes:
        """Add what failed, once; raise it if nothing was told before."""
        ends_now, self.ended = not self.ended, True
        failure = self._chunks.failure
        if not ends_now or failure is None:
            return data
        error = failure_of(failure)
        if not data and not self._committed:
            raise error
        return data + b"data: %b\n\n" % upstream(error.body(self._correlation_id))

    def close(self, *, by_server: bool = False) -> None:
        """End the subscription; if the client left, its task with it."""
        self._cursor.close(by_server=by_server)

    async def _next(self, timeout_s: float, max_bytes: int) -> bytes:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while (left_s := until_s - loop.time()) > 0:
            data = await self._cursor.read(timeout_s=left_s, max_bytes=max_bytes)
            if data or self._cursor.ended:
                return data
        return b""


def failure_of(data: Mapping[str, Any]) -> ApiError:
    """Return the error that the last frame of a task tells."""
    return ApiError(
        ErrorCode(data["code"]),
        data["message"],
        retriable=data["retriable"],
        retry_after_ms=data.get("retry_after_ms"),
        engine=data.get("engine"),
        pool_id=data.get("pool_id"),
    )
