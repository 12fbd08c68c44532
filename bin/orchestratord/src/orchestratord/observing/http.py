"""Counts requests and streams, and exposes the metrics of the process."""

from collections.abc import Callable, Sequence

from telemetry_core import AnsweredRequests, Metrics


class HttpMetrics:
    """The HTTP shell's observer; `refresh` brings gauges up to date before each exposition."""

    def __init__(self, metrics: Metrics, *, refresh: Callable[[], None] = lambda: None) -> None:
        self._metrics = metrics
        self._refresh = refresh
        self.request_finished = AnsweredRequests(
            metrics,
            requests="orchd_http_requests_total",
            durations="orchd_http_request_duration_ms",
        ).request_finished
        self._subscribers = metrics.gauge("orchd_sse_subscribers").labels()
        admission = metrics.histogram("orchd_admission_latency_ms").labels()
        self._admissions = metrics.facts(admission.observe_all)
        self._streams = metrics.facts(self._count_streams)

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

    def _count_streams(self, changes: Sequence[int]) -> None:
        self._subscribers.inc(sum(changes))
