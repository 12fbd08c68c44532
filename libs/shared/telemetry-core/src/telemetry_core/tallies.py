"""Metrics that count for less, and do their sums when they are read.

Some dozen are told of each task and read every few seconds. The client library's own take five
calls of functions for each number.
"""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Sample


class _Tallied(MetricWrapperBase):
    """What has come since the last reading, beside the client library's own value."""

    _value: Any

    def _metric_init(self) -> None:
        super()._metric_init()  # type: ignore[no-untyped-call]
        self._tally = 0.0
        self._tally_lock = threading.Lock()

    def _child_samples(self) -> Iterable[Sample]:
        with self._tally_lock:
            tally, self._tally = self._tally, 0.0
            self._value.inc(tally)
        return super()._child_samples()


class TallyCounter(_Tallied, Counter):
    """The client library's, but for `inc`."""

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Count so many; exemplars are not in this exposition."""
        del exemplar
        if amount < 0:
            raise ValueError(f"A counter never falls, as it would by {amount}.")
        with self._tally_lock:
            self._tally += amount


class TallyGauge(_Tallied, Gauge):
    """The client library's, but for `inc` and `dec`."""

    def inc(self, amount: float = 1) -> None:
        """Rise by so much."""
        with self._tally_lock:
            self._tally += amount

    def dec(self, amount: float = 1) -> None:
        """Fall by so much."""
        with self._tally_lock:
            self._tally -= amount

    def set(self, value: float) -> None:
        """Stand at so much."""
        with self._tally_lock:
            self._tally = 0.0
            self._value.set(float(value))


class TallyHistogram(Histogram):
    """The client library's, but for `observe`: one lock and one search instead of a walk."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._tally = [0] * len(self._upper_bounds)
        self._tally_sum = 0.0
        self._tally_lock = threading.Lock()

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Count one value; exemplars are not in this exposition."""
        del exemplar
        place = bisect_left(self._upper_bounds, amount)
        with self._tally_lock:
            self._tally[place] += 1
            self._tally_sum += amount

    def observe_all(self, amounts: Iterable[float]) -> None:
        """Count many values: one search for each bucket instead of one for each value."""
        ordered = sorted(amounts)
        up_to = [0, *(bisect_right(ordered, bound) for bound in self._upper_bounds)]
        with self._tally_lock:
            self._tally = [
                count + upper - lower
                for count, lower, upper in zip(self._tally, up_to, up_to[1:], strict=False)
            ]
            self._tally_sum += sum(ordered)

    def _child_samples(self) -> Iterable[Sample]:
        with self._tally_lock:
            tally, self._tally = self._tally, [0] * len(self._tally)
            total, self._tally_sum = self._tally_sum, 0.0
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, tally, strict=True):
            bucket.inc(count)
        return super()._child_samples()
