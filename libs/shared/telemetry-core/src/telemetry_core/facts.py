"""What is told at once and counted later, many in one go."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MANY = 256
"""So many facts are counted even when nobody reads; that takes about a millisecond."""

Fact = TypeVar("Fact")


class Facts(Generic[Fact]):
    """Facts of one kind that wait to be counted.

    To tell one is the append of a list: no lock, no look at a label, from any thread. They are
    counted before each reading, which so misses none. Whoever tells looks at `waiting` now and
    then, and has them counted when they are `MANY`.
    """

    def __init__(self, count: Callable[[Sequence[Fact]], None]) -> None:
        self.waiting: list[Fact] = []
        self.tell: Callable[[Fact], None] = self.waiting.append
        self._count = count
        self._lock = threading.Lock()

    def settle(self) -> None:
        """Count what waits; what is told meanwhile is counted the next time."""
        with self._lock:
            facts = self.waiting[:]
            del self.waiting[: len(facts)]
            if facts:
                self._count(facts)
