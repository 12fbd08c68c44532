"""The connections to one engine that wait for their next request."""

import asyncio
from typing import Generic, Protocol, TypeVar

IDLE_S = 2.0
"""How long at least a connection is kept, and at most twice as long: llama.cpp closes after 5 s."""


class Keepable(Protocol):
    """A connection as far as it is kept; an `EngineLink` is one."""

    aged: bool
    """Whether it has been idle for one look already."""
    is_open: bool
    """Whether neither side has closed it."""

    def abort(self) -> None:
        """Close it at once."""
        ...


Link = TypeVar("Link", bound=Keepable)


class KeptLinks(Generic[Link]):
    """A stack of idle connections, the one that was used last on top.

    They age by looks at all of them, so that a request costs no timer.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._idle: list[Link] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> Link | None:
        """Return one that is open."""
        while self._idle:
            link = self._idle.pop()
            if link.is_open:
                return link
        return None

    def keep(self, link: Link) -> None:
        """Keep one whose last answer is complete, as far as there is room."""
        if self._closed or len(self._idle) >= self._limit:
            link.abort()
            return
        link.aged = False
        self._idle.append(link)
        if self._timer is None:
            self._wait()

    def close(self) -> None:
        """Close those that are idle, and keep no more: the engine goes."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for link in self._idle:
            link.abort()
        self._idle.clear()

    def look(self) -> None:
        """Close those that nobody has used since the last look, which comes of itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for link in self._idle:
            if link.aged:
                link.abort()
            link.aged = True
        self._idle = [link for link in self._idle if link.is_open]
        if self._idle:
            self._wait()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self.look)
