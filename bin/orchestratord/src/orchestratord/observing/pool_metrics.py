"""Brings the gauges of pools up to date, which nobody needs between two scrapes."""

from collections.abc import Callable, Collection

from gpu_discovery import GpuInventory
from orchestrator_core import ReplicaKey
from pool_registry_types import PoolSnapshot
from telemetry_core import Metrics

_CLOSED, _OPEN = 0, 2


class PoolGauges:
    """The numbers of pools and devices as of the moment of `refresh`."""

    def __init__(
        self,
        metrics: Metrics,
        snapshots: Callable[[], tuple[PoolSnapshot, ...]],
        *,
        inventory: Callable[[], GpuInventory] = GpuInventory,
        broken: Callable[[], Collection[ReplicaKey]] = tuple,
    ) -> None:
        """`broken` gives the replicas whose circuit breaker is open."""
        self._snapshots = snapshots
        self._inventory = inventory
        self._broken = broken
        gauge = metrics.gauge
        self._breakers = gauge("orchd_breaker_state")
        self._gpu_busy = gauge("gpu_utilization_percent")
        self._gpu_used = gauge("gpu_vram_used_bytes")
        self._available = gauge("orchd_pools_available")
        self._slots_total = gauge("pool_slots_total")
        self._slots_free = gauge("pool_slots_free")
        self._vram_total = gauge("pool_vram_total_bytes")
        self._vram_free = gauge("pool_vram_free_bytes")
        self._ready = gauge("pool_ready")

    def refresh(self) -> None:
        """Read pools and devices."""
        broken = {key.pool_id for key in self._broken()}
        for pool in self._snapshots():
            name = pool.pool_id
            taking = pool.ready and not pool.draining
            self._available.labels(pool_id=name).set(taking)
            self._slots_total.labels(pool_id=name).set(pool.slots_total)
            self._slots_free.labels(pool_id=name).set(pool.slots_free)
            self._vram_total.labels(pool_id=name).set(pool.vram_total_bytes)
            self._vram_free.labels(pool_id=name).set(pool.vram_free_bytes)
            self._ready.labels(pool_id=name).set(pool.ready)
            self._breakers.labels(pool_id=name).set(_OPEN if name in broken else _CLOSED)
        for device in self._inventory().devices:
            reading, index = device.reading, str(device.info.device_id)
            self._gpu_used.labels(device=index).set(reading.used_bytes)
            if reading.utilization_percent is not None:
                self._gpu_busy.labels(device=index).set(reading.utilization_percent)
