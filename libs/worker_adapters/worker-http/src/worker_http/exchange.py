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


class Exchange:
    """Collects or passes on a response, under a time limit.

    Only a 200 with an event stream reaches `on_data`: an error's body is collected instead.
    """

    def __init__(
        self,
        *,
        first_ms: int,
        idle_ms: int | None = None,
        on_data: OnData | None = None,
        on_last: OnData | None = None,
        max_body_bytes: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Response] = self._loop.create_future()
        self.answered = False
        """Whether any byte of a response came."""
        self._on_data = on_data
        self._on_last = on_last
        self._idle_ms = idle_ms
        self._max_body_bytes = max_body_bytes
        self._status = 0
        self._content_type = ""
        self._retry_after_ms: int | None = None
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._limit_ms = first_ms
        self._alive_at_s = self._loop.time()
        self._first_seen = False
        self._timer = self._loop.call_later(first_ms / 1000, self._on_timer)

    def head(self, status: int, content_type: str, retry_after_ms: int | None) -> None:
        """The status and headers are there."""
        self._status = status
        self._content_type = content_type
        self._retry_after_ms = retry_after_ms
        if status != 200 or content_type != EVENT_STREAM:
            self._on_data = None

    def read(self, data: bytes) -> None:
        """Take what one read brought of the body."""
        if not data:
            return
        if self._on_data is None:
            self._collect(data)
            return
        try:
            alive = self._on_data(data)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, who awaits `done`
            self.fail(error)
            return
        if alive:
            self._alive_at_s = self._loop.time()
            if not self._first_seen:
                self._begin_idle_clock()

    def read_last(self, data: bytes) -> None:
        """Take what one read brought of the body, and with which the response is whole."""
        if self._on_data is not None and self._on_last is not None:
            self._on_data = self._on_last
        self.read(data)

    def _collect(self, data: bytes) -> None:
        self._parts.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > self._max_body_bytes:
            self.fail(
                EngineProtocolError(
                    f"the engine's answer is larger than {self._max_body_bytes} bytes"
                )
            )

    def _begin_idle_clock(self) -> None:
        self._first_seen = True
        if self._idle_ms is not None and not self.done.done():
            self._limit_ms = self._idle_ms
            self._timer.cancel()
            self._timer = self._loop.call_later(self._idle_ms / 1000, self._on_timer)

    def complete(self) -> None:
        """The response is whole."""
        self._timer.cancel()
        if not self.done.done():
            body = b"" if self._on_data is not None else b"".join(self._parts)
            self.done.set_result(
                Response(self._status, self._content_type, body, self._retry_after_ms)
            )

    def fail(self, error: Exception) -> None:
        """There will be no whole response."""
        self._timer.cancel()
        if not self.done.done():
            self.done.set_exception(error)

    def drop(self) -> None:
        """Nobody waits any longer."""
        self._timer.cancel()
        self.done.cancel()

    def _on_timer(self) -> None:
        # A token only notes its time; whether it was the last for too long is asked here.
        left_s = self._alive_at_s + self._limit_ms / 1000 - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._on_timer)
        else:
            what = "was silent" if self._first_seen else "gave no answer"
            self.fail(EngineTimeout(f"the engine {what} for {self._limit_ms} ms"))
