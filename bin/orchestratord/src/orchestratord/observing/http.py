"""Counts requests and streams, and exposes the metrics of the process."""

from collections.abc import Callable

from prometheus_client import Counter, Histogram

from telemetry_core import Metrics


class HttpMetrics:
    """The HTTP shell's observer; `refresh` brings gauges up to date before each exposition."""

    def __init__(self, metrics: Metrics, *, refresh: Callable[[], None] = lambda: None) -> None:
        self._metrics = metrics
        self._refresh = refresh
        self._requests = metrics.counter("orchd_http_requests_total")
        self._durations = metrics.histogram("orchd_http_request_duration_ms")
        self._subscribers = metrics.gauge("orchd_sse_subscribers").labels()
        self._admission = metrics.histogram("orchd_admission_latency_ms").labels()
        # Looked up once: labels cost more than counting does.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        """Count one answer."""
        key = (route, method, status)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = (
                self._requests.labels(route=route, method=method, status=str(status)),
                self._durations.labels(route=route),
            )
        counter, histogram = children
        counter.inc()
        histogram.observe(duration_ms)

    def task_admitted(self, duration_ms: float) -> None:
        """Count how long an admission took."""
        self._admission.observe(duration_ms)

    def stream_opened(self) -> None:
        """Count one more event stream."""
        self._subscribers.inc()

    def stream_closed(self) -> None:
        """Count one event stream less."""
        self._subscribers.dec()

    def exposition(self) -> tuple[bytes, str]:
        """Return all metrics as text, and its content type."""
        self._refresh()
        return self._metrics.expose()
