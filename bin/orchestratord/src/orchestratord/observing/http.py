"""Counts requests and streams, and exposes the metrics of the process."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from telemetry_core import MANY, Metrics


class HttpMetrics:
    """The HTTP shell's observer; `refresh` brings gauges up to date before each exposition."""

    def __init__(self, metrics: Metrics, *, refresh: Callable[[], None] = lambda: None) -> None:
        self._metrics = metrics
        self._refresh = refresh
        self._requests = metrics.counter("orchd_http_requests_total")
        self._durations = metrics.histogram("orchd_http_request_duration_ms")
        self._subscribers = metrics.gauge("orchd_sse_subscribers").labels()
        admission = metrics.histogram("orchd_admission_latency_ms").labels()
        self._answers = metrics.facts(self._count_answers)
        self._admissions = metrics.facts(admission.observe_all)
        self._streams = metrics.facts(self._count_streams)

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        """Note one answer."""
        self._answers.tell((route, method, status, duration_ms))
        if len(self._answers.waiting) >= MANY:  # All else here is told within a request.
            self._metrics.settle()

    def task_admitted(self, duration_ms: float) -> None:
        """Note how long an admission took."""
        self._admissions.tell(duration_ms)

    def stream_opened(self) -> None:
        """Note one more event stream."""
        self._streams.tell(1)

    def stream_closed(self) -> None:
        """Note one event stream less."""
        self._streams.tell(-1)

    def exposition(self) -> tuple[bytes, str]:
        """Return all metrics as text, and its content type."""
        self._refresh()
        return self._metrics.expose()

    def _count_answers(self, facts: Sequence[tuple[str, str, int, float]]) -> None:
        kinds = Counter([fact[:3] for fact in facts])
        for (route, method, status), many in kinds.items():
            self._requests.labels(route=route, method=method, status=str(status)).inc(many)
        durations = defaultdict[str, list[float]](list)
        for route, _method, _status, duration_ms in facts:
            durations[route].append(duration_ms)
        for route, amounts in durations.items():
            self._durations.labels(route=route).observe_all(amounts)

    def _count_streams(self, changes: Sequence[int]) -> None:
        self._subscribers.inc(sum(changes))
