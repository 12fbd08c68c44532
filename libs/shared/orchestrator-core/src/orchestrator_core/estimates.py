"""What measured service times say about the future: starts, deadlines, when to come back.

Times are estimated at a quantile of how long tasks took: 0.1 is the optimistic view, 0.5 the
expected one. Without measurements every estimate is None, never a guess.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import ceil
from typing import NamedTuple

OPTIMISTIC = 0.1
_MIN_RETRY_MS = 1_000
_MAX_RETRY_MS = 60_000


class _Sample(NamedTuple):
    first_token_ms: float
    total_ms: float
    ms_per_token: float


class ServiceTimes:
    """How long the latest tasks of a model took: a bounded window, in which older ones weigh less.

    The sorted view is built on demand and kept until the next record.
    """

    __slots__ = ("_half_life", "_samples", "_sorted")

    def __init__(self, window: int = 256, half_life: int = 64) -> None:
        """Remember `window` tasks; one that is `half_life` tasks old weighs half."""
        self._samples: deque[_Sample] = deque(maxlen=window)
        self._half_life = half_life
        self._sorted: dict[str, tuple[list[float], list[float]]] = {}

    def record(self, first_token_ms: float, total_ms: float, tokens: int) -> None:
        """Count a finished task: from its dispatch to its first token and to its end."""
        decode_ms = total_ms - first_token_ms if total_ms > first_token_ms else 0.0
        gaps = tokens - 1 if tokens > 2 else 1
        self._samples.append(_Sample(first_token_ms, total_ms, decode_ms / gaps))
        if self._sorted:
            self._sorted = {}

    def service_ms(self, quantile: float, expected_tokens: int | None = None) -> float | None:
        """Tell how long a task takes; with `expected_tokens`, one of that length."""
        if not self._samples:
            return None
        if expected_tokens is None:
            return self._quantile("total_ms", quantile)
        decode_ms = self._quantile("ms_per_token", quantile) * max(0, expected_tokens - 1)
        return self._quantile("first_token_ms", quantile) + decode_ms

    def _quantile(self, field: str, quantile: float) -> float:
        """Give the smallest sample that, with those below it, has this share of the weight."""
        if field not in self._sorted:
            newest = len(self._samples) - 1
            weighed = sorted(
                (getattr(sample, field), 0.5 ** ((newest - at) / self._half_life))
                for at, sample in enumerate(self._samples)
            )
            values = [value for value, _ in weighed]
            self._sorted[field] = values, list(accumulate(weight for _, weight in weighed))
        values, weights = self._sorted[field]
        at = bisect_right(weights, quantile * weights[-1])
        return values[min(at, len(values) - 1)]

    def __len__(self) -> int:
        return len(self._samples)


def start_ms(
    times: ServiceTimes,
    position: int,
    running_ages_ms: Sequence[float],
    slots: int,
    *,
    quantile: float = 0.5,
) -> float | None:
    """Tell in how many ms a task starts if every task takes as long as this quantile.

    `position` tasks go before it, `slots` (free or not) may serve it, and the tasks on them have
    run for `running_ages_ms`. 0 when a slot is free, also without measurements; None: not known.
    """
    taken = len(running_ages_ms)
    if position + taken < slots:
        return 0.0
    service_ms = times.service_ms(quantile)
    if service_ms is None or slots <= 0:
        return None
    left_ms = sorted(max(0.0, service_ms - age) for age in running_ages_ms)
    free_at_ms = [0.0] * (slots - taken) + left_ms
    rounds, slot = divmod(position, slots)
    return free_at_ms[slot] + rounds * service_ms


def predicted_start_ms(
    times: ServiceTimes, position: int, running_ages_ms: Sequence[float], slots: int
) -> int | None:
    """Tell in how many ms a task is expected to start, as `start_ms` does for the median."""
    start = start_ms(times, position, running_ages_ms, slots)
    return None if start is None else ceil(start)


def finish_ms(
    times: ServiceTimes,
    position: int,
    running_ages_ms: Sequence[float],
    slots: int,
    *,
    quantile: float = 0.5,
    expected_tokens: int | None = None,
) -> float | None:
    """Tell in how many ms a task is done, the quantile taken for all tasks alike.

    Load slows all tasks together, so their times are taken to rise and fall as one.
    """
    start = start_ms(times, position, running_ages_ms, slots, quantile=quantile)
    service = times.service_ms(quantile, expected_tokens)
    return None if start is None or service is None else start + service


def on_time_probability(
    times: ServiceTimes,
    position: int,
    running_ages_ms: Sequence[float],
    slots: int,
    *,
    remaining_ms: float,
    expected_tokens: int | None = None,
) -> float | None:
    """Tell how likely a task is done within `remaining_ms`: the quantile that just makes it."""

    def finish(quantile: float) -> float | None:
        return finish_ms(
            times,
            position,
            running_ages_ms,
            slots,
            quantile=quantile,
            expected_tokens=expected_tokens,
        )

    def in_time(quantile: float) -> bool:
        at_ms = finish(quantile)
        return at_ms is not None and at_ms <= remaining_ms

    return None if finish(0.5) is None else _highest(in_time)


def _highest(holds: Callable[[float], bool]) -> float:
    """Find by bisection how far up from 0 a falling property holds, in steps of 1/128."""
    if not holds(0.0):
        return 0.0
    low, high = 0, 128
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle / 128):
            low = middle
        else:
            high = middle
    return 1.0 if low == 127 and holds(1.0) else low / 128


def deadline_feasible(
    times: ServiceTimes,
    position: int,
    running_ages_ms: Sequence[float],
    slots: int,
    *,
    remaining_ms: float,
    expected_tokens: int | None = None,
) -> bool:
    """Whether a task may be admitted: False only when even the optimistic estimate misses."""
    finish = finish_ms(
        times,
        position,
        running_ages_ms,
        slots,
        quantile=OPTIMISTIC,
        expected_tokens=expected_tokens,
    )
    return finish is None or finish <= remaining_ms


class DrainRate:
    """How fast tasks leave a queue for a replica: what a refused caller is told to wait."""

    __slots__ = ("_gaps_ms", "_last_ms")

    def __init__(self, window: int = 64) -> None:
        """Measure over the last `window` departures."""
        self._gaps_ms: deque[int] = deque(maxlen=window)
        self._last_ms: int | None = None

    def record(self, now_ms: int, waited_ms: int | None = None) -> None:
        """Count a task that left the queue for a replica after it had waited so long.

        With `waited_ms` only time in which it waited counts: an empty queue drains no slower.
        """
        gap_ms = waited_ms or 0
        if self._last_ms is not None:
            since_ms = now_ms - self._last_ms
            if waited_ms is None or since_ms < waited_ms:
                gap_ms = since_ms
        self._gaps_ms.append(max(0, gap_ms))
        self._last_ms = now_ms

    def retry_after_ms(
        self, now_ms: int, waiting: int, oldest_running_ms: int | None = None
    ) -> int:
        """Tell when a quarter of a full queue will have left, within 1 s and 60 s.

        A quarter, because every refused caller is told the same: one place would be fought for.
        Before anything was measured the age of the oldest running task stands for the time that
        one departure takes.
        """
        if self._last_ms is None:
            per_task = float(oldest_running_ms or 0)
        else:
            pause_ms = max(0, now_ms - self._last_ms)
            per_task = (sum(self._gaps_ms) + pause_ms) / (len(self._gaps_ms) + 1)
        return min(max(ceil(per_task * max(1.0, waiting / 4)), _MIN_RETRY_MS), _MAX_RETRY_MS)
