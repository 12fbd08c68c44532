"""One request and its response, as the connection sees them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from adapter_api import EngineProtocolError, EngineTimeout

OnData = Callable[[bytes], bool]
"""Given the body bytes of one read; True when they brought what the idle clock waits for."""

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Response:
    """A response; `body` is empty where the bytes went to `on_data`."""

    status: int
    content_type: str
    body: bytes
    retry_after_ms: int | None = None

    @property
    def streamed(self) -> bool:
        """Whether the bytes went to `on_data`, when one was given."""
        return self.status == 200 and self.content_type == EVENT_STREAM


STREAMED = Response(200, EVENT_STREAM, b"")

OnEnd = Callable[[Response | Exception], None]
"""Told once how an exchange has ended: whole, or why not."""


class Exchange:
    """Collects or passes on a response, under a time limit that its connection watches.

    Only a 200 with an event stream reaches `on_data`: an error's body is collected instead. What
    `on_data` raises ends the exchange.
    """

    __slots__ = (
        "_alive_at_s",
        "_collects",
        "_first_seen",
        "_idle_ms",
        "_limit_ms",
        "_max_body_bytes",
        "_on_data",
        "_on_end",
        "_on_last",
        "_parts",
        "_response",
        "_size_bytes",
        "_time",
        "answered",
        "began_s",
        "over",
        "soonest_s",
    )

    def __init__(
        self,
        on_end: OnEnd,
        *,
        first_ms: int,
        idle_ms: int | None = None,
        on_data: OnData | None = None,
        on_last: OnData | None = None,
        max_body_bytes: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.answered = False
        """Whether any byte of a response came."""
        self.over = False
        """Whether `on_end` was told, or nobody waits any longer."""
        self._on_end = on_end
        self._on_data = on_data
        self._on_last = on_last
        self._collects = on_data is None
        self._idle_ms = idle_ms
        self._max_body_bytes = max_body_bytes
        self._response = STREAMED
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._limit_ms = first_ms
        self.began_s = self._alive_at_s = loop.time()
        self.soonest_s = first_ms / 1000 if idle_ms is None else min(first_ms, idle_ms) / 1000
        """It is not too silent before, counted from any byte that it may get."""
        self._first_seen = False
        self._time = loop.time

    @property
    def due_s(self) -> float:
        """When it has been silent for too long, by the clock of the loop."""
        return self._alive_at_s + self._limit_ms / 1000

    def head(self, status: int, content_type: str, retry_after_ms: int | None) -> None:
        """The status and headers are there."""
        self._response = Response(status, content_type, b"", retry_after_ms)
        self._collects = self._on_data is None or not self._response.streamed

    def read(self, data: bytes, *, last: bool = False) -> None:
        """Take what one read brought of the body; with `last` the response is whole."""
        if self._collects:
            self._collect(data)
            return
        on_data = self._on_last if last and self._on_last is not None else self._on_data
        if self.over or not data or on_data is None:
            return
        try:
            alive = on_data(data)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, who is told
            self.fail(error)
            return
        if alive and not last:
            self._alive_at_s = self._time()
            if not self._first_seen:
                self._first_seen = True
                self._limit_ms = self._idle_ms or self._limit_ms

    def _collect(self, data: bytes) -> None:
        self._parts.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > self._max_body_bytes:
            self.fail(
                EngineProtocolError(
                    f"the engine's answer is larger than {self._max_body_bytes} bytes"
                )
            )

    def complete(self) -> None:
        """The response is whole."""
        if not self.over:
            self.over = True
            told = self._response
            if self._collects:
                body = b"".join(self._parts)
                told = Response(told.status, told.content_type, body, told.retry_after_ms)
            self._on_end(told)

    def fail(self, error: Exception) -> None:
        """There will be no whole response."""
        if not self.over:
            self.over = True
            self._on_end(error)

    def silent(self) -> None:
        """Its time is up."""
        what = "was silent" if self._first_seen else "gave no answer"
        self.fail(EngineTimeout(f"the engine {what} for {self._limit_ms} ms"))

    def drop(self) -> None:
        """Nobody waits any longer."""
        self.over = True
