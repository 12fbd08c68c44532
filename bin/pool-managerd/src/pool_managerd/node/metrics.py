"""Counts requests and relayed bytes, and shows the pools' and GPUs' numbers when asked."""

from collections.abc import Callable

from gpu_discovery import GpuInventory
from pool_registry_types import PoolSnapshot
from telemetry_core import AnsweredRequests, Metrics, PoolMetrics, Program


class NodeMetrics:
    """All metrics of one node; gauges are brought up to date by each exposition."""

    def __init__(self, node_id: str) -> None:
        self._metrics = metrics = Metrics(Program.POOL_MANAGERD, constant={"node_id": node_id})
        self.pool_events = PoolMetrics(metrics)
        """Who is told what becomes of pools, engines and devices."""
        self._snapshots: Callable[[], tuple[PoolSnapshot, ...]] = tuple
        self._inventory: Callable[[], GpuInventory] = GpuInventory
        self.request_finished = AnsweredRequests(
            metrics,
            requests="pool_http_requests_total",
            durations="pool_http_request_duration_ms",
        ).request_finished
        self._relayed = metrics.counter("pool_relay_bytes_total")
        gauge = metrics.gauge
        self._slots_total = gauge("pool_slots_total")
        self._slots_free = gauge("pool_slots_free")
        self._vram_total = gauge("pool_vram_total_bytes")
        self._vram_free = gauge("pool_vram_free_bytes")
        self._ready = gauge("pool_ready")
        self._gpu_busy = gauge("gpu_utilization_percent")
        self._gpu_used = gauge("gpu_vram_used_bytes")
        self.before_exposition: Callable[[], None] = lambda: None

    def show(
        self,
        snapshots: Callable[[], tuple[PoolSnapshot, ...]],
        inventory: Callable[[], GpuInventory],
    ) -> None:
        """Show the numbers of these pools and GPUs from now on."""
        self._snapshots, self._inventory = snapshots, inventory

    @property
    def contract(self) -> Metrics:
        """All metrics of the contract, for those who count for themselves."""
        return self._metrics

    def relayed(self, pool_id: str, count_bytes: int) -> None:
        """Count bytes that went through the relay."""
        self._relayed.labels(pool_id=pool_id).inc(count_bytes)

    def exposition(self) -> tuple[bytes, str]:
        """Return all metrics as text, and its content type."""
        self.before_exposition()
        for pool in self._snapshots():
            name = pool.pool_id
            self._slots_total.labels(pool_id=name).set(pool.slots_total)
            self._slots_free.labels(pool_id=name).set(pool.slots_free)
            self._vram_total.labels(pool_id=name).set(pool.vram_total_bytes)
            self._vram_free.labels(pool_id=name).set(pool.vram_free_bytes)
            self._ready.labels(pool_id=name).set(pool.ready)
        for device in self._inventory().devices:
            reading, index = device.reading, str(device.info.device_id)
            self._gpu_used.labels(device=index).set(reading.used_bytes)
            if reading.utilization_percent is not None:
                self._gpu_busy.labels(device=index).set(reading.utilization_percent)
        return self._metrics.expose()
