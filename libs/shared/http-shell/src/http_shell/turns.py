"""How much is begun in one turn of the event loop.

A loop works on everything that is ready before it looks at its clock again. Where hundreds of
requests have come at once, as after a moment without a core, all of them would be begun before any
stream that flows already, and any timer, has its turn.
"""

from collections import deque
from collections.abc import Callable

AT_ONCE = 16
"""Requests: to begin a task takes a quarter of a millisecond, with what it makes the turn do."""


class Turns:
    """Lets so many begin at once; those beyond have to wait, in their order, for the next turn.

    Whoever begins counts `left` down, and puts off what is to begin where nothing is left. There
    is more again only after something was put off: where requests come one by one, that is one of
    them in so many, for no longer than the turn lasts.
    """

    __slots__ = ("_call_soon", "_waiting", "left")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self.left = AT_ONCE
        self._call_soon = call_soon
        self._waiting: deque[Callable[[], None]] = deque()

    def put_off(self, begin: Callable[[], None]) -> None:
        """Call this in the next turn in which something is left."""
        if not self._waiting:
            self._call_soon(self._next)
        self._waiting.append(begin)

    def _next(self) -> None:
        self.left = AT_ONCE
        try:
            while self.left and self._waiting:
                self._waiting.popleft()()
        finally:
            if self._waiting:
                self._call_soon(self._next)
