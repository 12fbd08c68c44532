"""One timer for all event streams: most are over before it would have had to look at them."""

import asyncio
import time
from typing import Protocol


class Looking(Protocol):
    """What wants to look after itself from time to time."""

    def look(self, now_s: float) -> None:
        """See what the time is, by the monotonic clock; raises nothing."""
        ...


class Rounds:
    """Lets everybody who has joined look once an interval."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._joined: set[Looking] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, looking: Looking) -> None:
        """Let it look from now on; the first time within an interval."""
        self._joined.add(looking)
        if self._timer is None:
            self._again()

    def leave(self, looking: Looking) -> None:
        """Let it look no more; safe for one that never joined."""
        self._joined.discard(looking)

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.interval_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._joined:
            return
        self._again()
        now_s = time.monotonic()
        for looking in tuple(self._joined):  # Some leave for what they see.
            looking.look(now_s)
