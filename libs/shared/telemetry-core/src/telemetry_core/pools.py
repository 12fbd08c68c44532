"""What happens to the pools and GPUs of a machine, counted; the same wherever they are managed."""

from telemetry_core.metrics import Metrics


class PoolMetrics:
    """Counts what becomes of pools, engines and devices as it is told."""

    def __init__(self, metrics: Metrics) -> None:
        self._handoffs = metrics.counter("pool_handoff_files_processed_total")
        self._handoff_ms = metrics.histogram("pool_handoff_processing_duration_ms")
        self._drain_ms = metrics.histogram("pool_drain_duration_ms")
        self._reload_ms = metrics.histogram("pool_reload_duration_ms")
        self._checks = metrics.counter("pool_health_checks_total")
        self._gpu_errors = metrics.counter("gpu_errors_total")
        self._restarts = metrics.counter("pool_engine_restarts_total")

    def handoff_processed(self, pool_id: str, outcome: str, took_ms: float | None) -> None:
        """Count a handoff file that was read; measure one that brought an engine."""
        self._handoffs.labels(pool_id=pool_id, outcome=outcome).inc()
        if took_ms is not None:
            self._handoff_ms.labels(pool_id=pool_id).observe(took_ms)

    def drain_ended(self, pool_id: str, outcome: str, took_ms: float) -> None:
        """Measure a drain."""
        self._drain_ms.labels(pool_id=pool_id, outcome=outcome).observe(took_ms)

    def reload_ended(self, pool_id: str, outcome: str, took_ms: float) -> None:
        """Measure a reload."""
        self._reload_ms.labels(pool_id=pool_id, outcome=outcome).observe(took_ms)

    def engines_restarted(self, pool_id: str, cause: str, count: int) -> None:
        """Count engines that were started again."""
        self._restarts.labels(pool_id=pool_id, cause=cause).inc(count)

    def health_checked(self, pool_id: str, outcome: str, took_ms: float) -> None:  # noqa: ARG002
        """Count a look at an engine's health."""
        self._checks.labels(pool_id=pool_id, outcome=outcome).inc()

    def gpu_failed(self, device: str, kind: str, count: int) -> None:
        """Count errors of a device."""
        self._gpu_errors.labels(device=device, kind=kind).inc(count)
