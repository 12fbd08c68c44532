"""What an HTTP server counts of its answers."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from telemetry_core.facts import MANY
from telemetry_core.metrics import Metrics


class AnsweredRequests:
    """Counts answers by route, method and status in `requests`, and in `durations` by route."""

    def __init__(self, metrics: Metrics, *, requests: str, durations: str) -> None:
        self._metrics = metrics
        self._requests = metrics.counter(requests)
        self._durations = metrics.histogram(durations)
        self._facts = metrics.facts(self._count)

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        """Note one answer."""
        self._facts.tell((route, method, status, duration_ms))
        if len(self._facts.waiting) >= MANY:  # All else of a request is told by now as well.
            self._metrics.settle()

    def _count(self, facts: Sequence[tuple[str, str, int, float]]) -> None:
        kinds = Counter([fact[:3] for fact in facts])
        for (route, method, status), many in kinds.items():
            self._requests.labels(route=route, method=method, status=str(status)).inc(many)
        durations = defaultdict[str, list[float]](list)
        for route, _method, _status, duration_ms in facts:
            durations[route].append(duration_ms)
        for route, amounts in durations.items():
            self._durations.labels(route=route).observe_all(amounts)
