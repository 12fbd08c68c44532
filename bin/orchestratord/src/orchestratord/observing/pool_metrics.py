"""Brings the gauges of pools up to date, which nobody needs between two scrapes."""

from collections.abc import Callable

from pool_registry_types import PoolSnapshot
from telemetry_core import Metrics


class PoolGauges:
    """The pools' numbers as of the moment of `refresh`."""

    def __init__(self, metrics: Metrics, snapshots: Callable[[], tuple[PoolSnapshot, ...]]) -> None:
        self._snapshots = snapshots
        gauge = metrics.gauge
        self._available = gauge("orchd_pools_available")
        self._slots_total = gauge("pool_slots_total")
        self._slots_free = gauge("pool_slots_free")
        self._vram_total = gauge("pool_vram_total_bytes")
        self._vram_free = gauge("pool_vram_free_bytes")
        self._ready = gauge("pool_ready")

    def refresh(self) -> None:
        """Read the pools."""
        for pool in self._snapshots():
            name = pool.pool_id
            taking = pool.ready and not pool.draining
            self._available.labels(pool_id=name).set(taking)
            self._slots_total.labels(pool_id=name).set(pool.slots_total)
            self._slots_free.labels(pool_id=name).set(pool.slots_free)
            self._vram_total.labels(pool_id=name).set(pool.vram_total_bytes)
            self._vram_free.labels(pool_id=name).set(pool.vram_free_bytes)
            self._ready.labels(pool_id=name).set(pool.ready)
