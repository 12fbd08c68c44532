"""Progress of a fetch as numbers: bytes, rate, time left."""

import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from api_types import PreparationStep

FETCH_KIND = "fetch_model"
_BETWEEN_S = 0.2
_WINDOW_S = 10.0


class FetchProgress:
    """Turns bytes that arrived into steps that are not too many."""

    def __init__(
        self,
        name: str,
        report: Callable[[PreparationStep], None],
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._report = report
        self._clock_s = clock_s
        self._told_s = float("-inf")
        self._samples: deque[tuple[float, int]] = deque()
        self.total_bytes: int | None = None
        self.done_bytes = 0

    def at(self, done_bytes: int) -> None:
        """So much has arrived of all files; less than before after a restart."""
        now_s = self._clock_s()
        if self._samples and done_bytes < self._samples[-1][1]:
            self._samples.clear()
        self.done_bytes = done_bytes
        self._samples.append((now_s, done_bytes))
        while now_s - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()
        if now_s - self._told_s >= _BETWEEN_S:
            self.tell("running")

    def tell(self, status: Literal["running", "done", "failed"]) -> None:
        """Report now."""
        self._told_s = self._clock_s()
        rate = self._bytes_per_s()
        left_bytes = None if self.total_bytes is None else self.total_bytes - self.done_bytes
        self._report(
            PreparationStep(
                id=f"{FETCH_KIND}:{self._name}",
                kind=FETCH_KIND,
                description=f"Fetch {self._name}",
                status=status,
                bytes_total=self.total_bytes,
                bytes_done=self.done_bytes,
                bytes_per_s=rate,
                estimated_ms=max(0, left_bytes) * 1000 // rate if rate and left_bytes else None,
            )
        )

    def _bytes_per_s(self) -> int | None:
        """Over the last seconds, so that it follows the line and does not jump."""
        if len(self._samples) < 2:
            return None
        (first_s, first_bytes), (last_s, last_bytes) = self._samples[0], self._samples[-1]
        return round((last_bytes - first_bytes) / (last_s - first_s)) if last_s > first_s else None
