"""What measured service times say about the future: starts, deadlines, when to come back.

Times are estimated at a quantile of how long tasks took: 0.1 is the optimistic view, 0.5 the
expected one. Without measurements every estimate is None, never a guess.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil

OPTIMISTIC = 0.1
_MIN_RETRY_MS = 1_000
_MAX_RETRY_MS = 60_000


@dataclass(frozen=True, slots=True)
class _Sample:
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
        decode_ms = max(0.0, total_ms - first_token_ms)
        self._samples.append(_Sample(first_token_ms, total_ms, decode_ms / max(1, tokens - 1)))
        self._sorted.clear()

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What stands before a task: the queue and the tasks that run."""

    position: int
    """Tasks that go before it, 0 for the next one."""
    slots: int
    """Slots that may serve it, free or not."""
    running_ages_ms: Sequence[float] = ()
    """How long the tasks on those slots have run."""


def start_ms(times: ServiceTimes, backlog: Backlog, quantile: float = 0.5) -> float | None:
    """Tell in how many ms a task starts if every task takes as long as this quantile.

    0 when a slot is free for it, also without measurements; None: not known.
    """
    taken = len(backlog.running_ages_ms)
    if backlog.position + taken < backlog.slots:
        return 0.0
    service_ms = times.service_ms(quantile)
    if service_ms is None or backlog.slots <= 0:
        return None
    left_ms = sorted(max(0.0, service_ms - age) for age in backlog.running_ages_ms)
    free_at_ms = ([0.0] * (backlog.slots - taken) + left_ms)[: backlog.slots]
    rounds, slot = divmod(backlog.position, backlog.slots)
    return free_at_ms[slot] + rounds * service_ms


def predicted_start_ms(times: ServiceTimes, backlog: Backlog) -> int | None:
    """Tell in how many ms a task is expected to start; 0: now, None: not known."""
    start = start_ms(times, backlog)
    return None if start is None else ceil(start)


def finish_ms(
    times: ServiceTimes,
    backlog: Backlog,
    quantile: float = 0.5,
    *,
    expected_tokens: int | None = None,
) -> float | None:
    """Tell in how many ms a task is done, the quantile taken for all tasks alike.

    Load slows all tasks together, so their times are taken to rise and fall as one.
    """
    start = start_ms(times, backlog, quantile)
    service = times.service_ms(quantile, expected_tokens)
    return None if start is None or service is None else start + service


def on_time_probability(
    times: ServiceTimes,
    backlog: Backlog,
    remaining_ms: float,
    *,
    expected_tokens: int | None = None,
) -> float | None:
    """Tell how likely a task is done within `remaining_ms`: the quantile that just makes it."""

    def in_time(quantile: float) -> bool:
        finish = finish_ms(times, backlog, quantile, expected_tokens=expected_tokens)
        return finish is not None and finish <= remaining_ms

    if finish_ms(times, backlog, expected_tokens=expected_tokens) is None:
        return None
    return _highest(in_time)


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
    backlog: Backlog,
    remaining_ms: float,
    *,
    expected_tokens: int | None = None,
) -> bool:
    """Whether a task may be admitted: False only when even the optimistic estimate misses."""
    finish = finish_ms(times, backlog, OPTIMISTIC, expected_tokens=expected_tokens)
    return finish is None or finish <= remaining_ms


class DrainRate:
    """How fast tasks leave a queue for a replica: what a refused caller is told to wait."""

    __slots__ = ("_gaps_ms", "_last_ms")

    def __init__(self, window: int = 64) -> None:
        """Measure over the last `window` departures."""
        self._gaps_ms: deque[int] = deque(maxlen=window)
        self._last_ms: int | None = None

    def record(self, now_ms: int, enqueued_ms: int) -> None:
        """Count a task that left the queue for a replica.

        Only time in which it waited counts: an empty queue does not drain slowly.
        """
        waited_from = enqueued_ms if self._last_ms is None else max(self._last_ms, enqueued_ms)
        self._gaps_ms.append(max(0, now_ms - waited_from))
        self._last_ms = now_ms

    def ms_per_task(self) -> float | None:
        """Tell the mean time between departures; None: nothing was measured."""
        return sum(self._gaps_ms) / len(self._gaps_ms) if self._gaps_ms else None

    def retry_after_ms(self, waiting: int, oldest_running_ms: int | None = None) -> int:
        """Tell when a quarter of the queue will have left, within 1 s and 60 s.

        A quarter, because every refused caller is told the same: one place would be fought for.
        Before anything was measured the age of the oldest running task stands for the time that
        one departure takes.
        """
        per_task = self.ms_per_task()
        if per_task is None:
            per_task = float(oldest_running_ms or 0)
        return min(max(ceil(per_task * max(1, waiting / 4)), _MIN_RETRY_MS), _MAX_RETRY_MS)
