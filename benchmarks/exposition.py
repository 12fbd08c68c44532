"""Histograms out of a Prometheus exposition, and percentiles out of histograms."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_BUCKET = re.compile(r'^(\w+)_bucket\{(?:.*,)?le="([^"]+)".*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulated counts by upper bound, all series of one metric added up."""

    counts: Mapping[float, float] = field(default_factory=dict)

    def since(self, earlier: "Histogram") -> "Histogram":
        """What has been observed after `earlier` was."""
        return Histogram(
            {bound: n - earlier.counts.get(bound, 0.0) for bound, n in self.counts.items()}
        )

    def percentile(self, share: float) -> float:
        """A percentile, evenly spread within its bucket; nan where nothing was observed."""
        bounds = sorted(self.counts)
        total = self.counts[bounds[-1]] if bounds else 0.0
        if not total:
            return float("nan")
        wanted, low, below = share * total, 0.0, 0.0
        for bound in bounds:
            count = self.counts[bound]
            if count >= wanted:
                return low if bound == float("inf") else _within(low, bound, below, count, wanted)
            low, below = bound, count
        return low

    def summary(self) -> dict[str, float]:
        """The usual percentiles, and how many values they stand on."""
        told = {f"p{round(100 * share)}": self.percentile(share) for share in (0.5, 0.99)}
        return {
            **{name: round(value, 3) for name, value in told.items()},
            "count": max(self.counts.values(), default=0.0),
        }


def _within(low: float, high: float, below: float, count: float, wanted: float) -> float:
    return high if count == below else low + (high - low) * (wanted - below) / (count - below)


def histograms(text: str) -> dict[str, Histogram]:
    """Every histogram of an exposition, by name."""
    found: dict[str, dict[float, float]] = {}
    for name, bound, count in _BUCKET.findall(text):
        counts = found.setdefault(name, {})
        counts[float(bound)] = counts.get(float(bound), 0.0) + float(count)
    return {name: Histogram(counts) for name, counts in found.items()}
