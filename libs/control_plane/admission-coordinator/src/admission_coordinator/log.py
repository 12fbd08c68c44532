"""The event log of one task: one counter, many readers, bounded bytes.

A reader is a cursor into the log and owns no buffer. It never holds back the writer: a cursor so
slow that its frames were evicted has fallen off, and its connection is closed without a terminal
frame. `Last-Event-ID` is a cursor that starts late.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from admission_coordinator.frames import (
    FRAME_OVERHEAD_BYTES,
    Dialect,
    EventFrame,
    Frame,
    TokenFrame,
    native,
)

_COMPACT_FROM = 1024


class EventLog:
    """Frames with increasing ids from 1; the oldest are evicted past `max_bytes`."""

    __slots__ = (
        "_base_id",
        "_cursors",
        "_frames",
        "_head",
        "_max_bytes",
        "_metrics_ids",
        "_newest_metrics_id",
        "newest",
        "next_id",
        "oldest_id",
        "opened",
        "sealed",
        "size_bytes",
        "terminal_id",
    )

    def __init__(self, *, max_bytes: int) -> None:
        self._frames: list[Frame | None] = []
        self._head = 0
        self._base_id = 1
        self.next_id = 1
        """The id that the next frame gets."""
        self.oldest_id = 1
        """The id of the oldest frame that is still there."""
        self.newest: Frame | None = None
        """The frame that was appended last; it is never evicted."""
        self.size_bytes = 0
        """Roughly what all stored frames cost."""
        self._max_bytes = max_bytes
        self._cursors: set[Cursor] = set()
        self._metrics_ids: set[int] = set()
        self._newest_metrics_id = 0
        self.opened = 0
        """How many cursors there have ever been."""
        self.terminal_id: int | None = None
        self.sealed = False
        """Nothing but the terminal frame may follow."""

    @property
    def subscribers(self) -> int:
        """How many cursors are open."""
        return len(self._cursors)

    def append(self, event: str, data: Mapping[str, Any]) -> None:
        """Append a frame that is neither plain tokens, nor metrics, nor the last one."""
        if not self.sealed:
            self._keep(EventFrame(event, data))

    def append_tokens(self, text: str, index: int, count: int, *, quiet: bool = False) -> None:
        """Append the text of one read of the engine's stream.

        `quiet` leaves it to the next frame, which follows at once, to wake the readers for both.
        """
        if not self.sealed:
            self._keep(
                TokenFrame(text, index, count), len(text) + FRAME_OVERHEAD_BYTES, quiet=quiet
            )

    def append_metrics(self, data: Mapping[str, Any], *, human: str | None = None) -> None:
        """Append a metrics frame; a replay gives only the newest of them."""
        if not self.sealed:
            self._newest_metrics_id = self.next_id
            self._metrics_ids.add(self._newest_metrics_id)
            self._keep(EventFrame("metrics", data, human))

    def seal(self) -> None:
        """Let nothing but the terminal frame follow: from here on the client sees no token."""
        self.sealed = True

    def finish(self, event: str, data: Mapping[str, Any], *, skip: bool = False) -> None:
        """Append the terminal frame. With `skip`, live cursors jump to it past what they missed."""
        if self.terminal_id is not None:
            raise RuntimeError("a task's stream has exactly one terminal frame")
        self.sealed = True
        self.terminal_id = self.next_id
        if skip:
            for cursor in self._cursors:
                cursor.jump(self.terminal_id)
        self._keep(EventFrame(event, data))

    def open(
        self,
        *,
        after_id: int = 0,
        dialect: Dialect = native,
        on_close: Callable[[], None] | None = None,
    ) -> "Cursor | None":
        """Return a cursor behind `after_id`, or None when the terminal frame lies before it.

        `on_close` is called when its client has left. Raises `LookupError` when a frame in
        between was evicted.
        """
        if self.terminal_id is not None and after_id >= self.terminal_id:
            return None
        if after_id + 1 < self.oldest_id:
            raise LookupError(f"events {after_id + 1} to {self.oldest_id - 1} are gone")
        cursor = Cursor(self, min(after_id, self.next_id - 1) + 1, dialect, on_close)
        self._cursors.add(cursor)
        self.opened += 1
        return cursor

    def collect(self, next_id: int, *, dialect: Dialect, max_bytes: int) -> tuple[int, bytes]:
        """Return the frames from `next_id` on, joined, and the id after the last of them."""
        parts: list[bytes] = []
        size = 0
        frames, base_id, end = self._frames, self._base_id, self.next_id
        metrics_ids, newest = self._metrics_ids, self._newest_metrics_id
        while next_id < end and size < max_bytes:
            frame = frames[next_id - base_id]
            if frame is not None and (next_id == newest or next_id not in metrics_ids):
                data = dialect(next_id, frame)
                parts.append(data)
                size += len(data)
            next_id += 1
        return next_id, b"".join(parts)

    def history(self) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        """Give id, event and data of every frame that is still there."""
        for frame_id, frame in enumerate(self._frames, self._base_id):
            if isinstance(frame, TokenFrame):
                yield frame_id, "token", {"t": frame.text, "i": frame.index, "n": frame.count}
            elif frame is not None:
                yield frame_id, frame.event, frame.data

    def forget(self, cursor: "Cursor") -> None:
        """Drop a cursor that was closed."""
        self._cursors.discard(cursor)

    def _keep(self, frame: Frame, size_bytes: int | None = None, *, quiet: bool = False) -> None:
        self._frames.append(frame)
        self.newest = frame
        self.next_id += 1
        self.size_bytes += frame.size_bytes if size_bytes is None else size_bytes
        if self.size_bytes > self._max_bytes:
            self._evict()
        if self._cursors and not quiet:
            for cursor in tuple(self._cursors):  # A reader of the last frame leaves at once.
                (cursor.news or cursor.wake)()

    def _evict(self) -> None:
        while self.size_bytes > self._max_bytes and self._head < len(self._frames) - 1:
            self._evict_oldest()

    def _evict_oldest(self) -> None:
        oldest = self._frames[self._head]
        if oldest is not None:
            self.size_bytes -= oldest.size_bytes
        self._frames[self._head] = None
        self._metrics_ids.discard(self.oldest_id)
        self.oldest_id += 1
        self._head += 1
        if self._head > _COMPACT_FROM and self._head * 2 > len(self._frames):
            del self._frames[: self._head]
            self._base_id += self._head
            self._head = 0


class Cursor:
    """One reader of a log. `close` must be called however the reading ends."""

    __slots__ = (
        "_dialect",
        "_log",
        "_next_id",
        "_on_close",
        "_waiter",
        "closed",
        "ended",
        "news",
    )

    def __init__(
        self,
        log: EventLog,
        next_id: int,
        dialect: Dialect,
        on_close: Callable[[], None] | None,
    ) -> None:
        self._log = log
        self._next_id = next_id
        self._dialect = dialect
        self._on_close = on_close
        self._waiter: asyncio.Future[None] | None = None
        self.news: Callable[[], None] | None = None
        """What `follow` was given."""
        self.ended = False
        """The terminal frame was handed out, or the cursor fell off the log."""
        self.closed = False

    @property
    def fell_off(self) -> bool:
        """Whether frames that this reader has yet to see were evicted: it cannot go on."""
        return self._next_id < self._log.oldest_id

    async def read(self, *, timeout_s: float, max_bytes: int = 65_536) -> bytes:
        """Wait for frames and return all that are there, joined; `b""` when none came in time."""
        data = self.take(max_bytes=max_bytes)
        if data or self.ended:
            return data
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self.wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
        return self.take(max_bytes=max_bytes)

    def take(self, *, max_bytes: int = 65_536) -> bytes:
        """Return all frames that are there, joined, without waiting."""
        log, next_id = self._log, self._next_id
        terminal = log.terminal_id
        if terminal is None and next_id >= log.next_id:  # Nothing has come, nor will it end now.
            return b""
        newest = log.newest
        if next_id + 1 == log.next_id and newest is not None:  # The usual read.
            self._next_id = log.next_id
            self.ended = terminal == next_id
            return self._dialect(next_id, newest)
        if next_id < log.oldest_id:
            self.ended = True
            return b""
        self._next_id, data = log.collect(next_id, dialect=self._dialect, max_bytes=max_bytes)
        self.ended = terminal is not None and self._next_id > terminal
        return data

    def follow(self, news: Callable[[], None]) -> None:
        """Have `news` called whenever there may be something to take; it must not raise."""
        self.news = news

    def wake(self) -> None:
        """Let the reader look again."""
        if self.news is not None:
            self.news()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def jump(self, frame_id: int) -> None:
        """Skip everything before `frame_id`."""
        self._next_id = max(self._next_id, frame_id)

    def close(self, *, by_server: bool = False) -> None:
        """Give the cursor back; safe to call twice. `by_server`: its client did not leave."""
        if not self.closed:
            self.closed = True
            self._log.forget(self)
            on_close, self._on_close, self.news = self._on_close, None, None
            if on_close is not None and not (by_server or self.fell_off):
                on_close()
