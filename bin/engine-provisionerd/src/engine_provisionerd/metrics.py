"""What Prometheus may ask this program."""

from collections.abc import Callable

from gpu_discovery import GpuInventory
from pool_registry_types import PoolSnapshot
from telemetry_core import Metrics, Program


class ServiceMetrics:
    """The contract's metrics, as far as they are this program's; the `Observer` of its HTTP."""

    def __init__(
        self,
        node_id: str,
        *,
        snapshots: Callable[[], tuple[PoolSnapshot, ...]],
        inventory: Callable[[], GpuInventory],
    ) -> None:
        self._metrics = metrics = Metrics(Program.POOL_MANAGERD, constant={"node_id": node_id})
        self._snapshots = snapshots
        self._inventory = inventory
        self._requests = metrics.counter("pool_http_requests_total")
        self._durations = metrics.histogram("pool_http_request_duration_ms")
        self._ready = metrics.gauge("pool_ready")
        self._restarts = metrics.counter("pool_engine_restarts_total")
        self._restarts_told: dict[str, int] = {}
        self._gpu_used = metrics.gauge("gpu_vram_used_bytes")

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        """Count one answer."""
        self._requests.labels(route=route, method=method, status=str(status)).inc()
        self._durations.labels(route=route).observe(duration_ms)

    def exposition(self) -> tuple[bytes, str]:
        """Return all metrics as text, and its content type."""
        for pool in self._snapshots():
            name = pool.pool_id
            self._ready.labels(pool_id=name).set(pool.ready)
            restarts = sum(replica.restarts for replica in pool.replicas)
            told = self._restarts_told.get(name, 0)
            # A reload makes a new engine, which has not been restarted yet.
            self._restarts.labels(pool_id=name, cause="engine").inc(max(0, restarts - told))
            self._restarts_told[name] = restarts
        for device in self._inventory().devices:
            used_bytes = device.reading.used_bytes
            self._gpu_used.labels(device=str(device.info.device_id)).set(used_bytes)
        return self._metrics.expose()
