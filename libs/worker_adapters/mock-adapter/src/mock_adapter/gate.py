"""A gate that lets a counted number of tokens through."""

import asyncio
from collections import deque


class TokenGate:
    """Open from the start; once held, tokens pass only as they are released, first come first."""

    def __init__(self) -> None:
        self._credit: int | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    def hold(self) -> None:
        """Let nothing through until `release`."""
        self._credit = 0

    def release(self, tokens: int | None = None) -> None:
        """Let so many more tokens through, or, without a number, all from now on."""
        if tokens is None:
            self._credit = None
        elif self._credit is not None:
            self._credit += tokens
        while self._waiting and (self._credit is None or self._credit > 0):
            turn = self._waiting.popleft()
            if turn.done():
                continue
            if self._credit is not None:
                self._credit -= 1
            turn.set_result(None)

    async def pass_one(self) -> None:
        """Wait for room for one token; a waiter that is cancelled takes none with it."""
        if self._credit is None:
            return
        if self._credit > 0:
            self._credit -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(1)
            raise
