"""A histogram that counts for less, and does its sums when it is read."""

import threading
from bisect import bisect_left
from collections.abc import Iterable

from prometheus_client import Histogram
from prometheus_client.samples import Sample


class TallyHistogram(Histogram):
    """The client library's, but for `observe`: one lock and one search instead of a walk.

    Several are told of each task and read every few seconds.
    """

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

    def _child_samples(self) -> Iterable[Sample]:
        with self._tally_lock:
            tally, self._tally = self._tally, [0] * len(self._tally)
            total, self._tally_sum = self._tally_sum, 0.0
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, tally, strict=True):
            bucket.inc(count)
        return super()._child_samples()
