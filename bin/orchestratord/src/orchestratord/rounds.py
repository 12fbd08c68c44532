"""Waiting until a loop has gone round once more."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Rounds:
    """The rounds of a loop that brings placement up to what is known by then."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` has the next round begin."""
        self._wake = wake
        self._waiting: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []
        self._over = False

    async def next(self) -> None:
        """Return once a round that begins from now on is done; at once when the loop has ended."""
        if self._over:
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake()
        await done

    @contextmanager
    def one(self) -> Iterator[None]:
        """Go round once: whoever waited before it began is released at its end."""
        self._served, self._waiting = self._waiting, []
        yield
        for done in self._served:
            if not done.done():
                done.set_result(None)

    def end(self) -> None:
        """Go round no more."""
        self._over = True
        for done in (*self._served, *self._waiting):
            done.cancel()
