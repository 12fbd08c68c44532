"""One pool: its replicas, and what they come to together."""

import asyncio
from dataclasses import dataclass, field

from gpu_discovery import GpuInventory
from local_pool_manager.config import PoolConfig
from local_pool_manager.crew import Crew
from local_pool_manager.replica import Replica
from pool_registry_types import (
    PROVISIONING,
    GpuInfo,
    HealthState,
    LoadFailure,
    ModelChange,
    PoolSnapshot,
    ReplicaSnapshot,
)

BEST_FIRST = (
    HealthState.READY,
    HealthState.DRAINING,
    HealthState.LOADING,
    HealthState.STARTING,
    HealthState.RESTARTING,
    HealthState.FAILED,
    HealthState.STOPPED,
)
"""A pool is as well as the best of its replicas."""


@dataclass(slots=True)
class Pool:
    """The state of one pool; only the manager changes it."""

    config: PoolConfig
    replicas: dict[str, Replica] = field(default_factory=dict)
    waiting: HealthState = HealthState.STOPPED
    """How it is while no engine of its own has been started."""
    trouble: str | None = None
    fault: str | None = None
    """What is wrong with its devices; while it is set the pool is not ready."""
    draining: bool = False
    closing: bool = False
    """Its engines are about to be stopped for another model: no new lease."""
    model_ref: str | None = None
    """What it is to serve: as configured, or as a reload or swap has chosen since."""
    crew: Crew | None = None
    successor: Crew | None = None
    """The engines of the next model, until they have taken over."""
    loadable: tuple[str, ...] = ()
    """The models that it could load, if it swaps."""
    load_failures: tuple[LoadFailure, ...] = ()
    """Those that it could not, and does not try now."""
    making: str | None = None
    """What is built, installed or fetched for its engines now."""
    phase: str | None = None
    """Of the change of its model that is under way."""
    next_model: str | None = None
    """Which one that change leads to, as far as it is known."""
    last_used_ms: int = 0
    """When the last lease ended; as long as there is one, the pool is in use."""
    _snapshot: tuple[GpuInventory, PoolSnapshot] | None = None
    devices: tuple[GpuInfo, ...] = ()
    """The GPUs that its engines compute on, none under the cpu policy."""
    wanted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def supervised(self) -> tuple[Replica, ...]:
        """The replicas whose engines are ours."""
        return tuple(replica for replica in self.replicas.values() if replica.supervised)

    @property
    def active_leases(self) -> int:
        """The leases of the engines that serve now."""
        tables = (replica.leases for replica in self.replicas.values())
        return sum(len(table.held) for table in tables if table is not None)

    def snapshot(self, inventory: GpuInventory) -> PoolSnapshot:
        """Return how it is, as it is reported; made once for each change."""
        if self._snapshot is None or self._snapshot[0] is not inventory:
            self._snapshot = inventory, self._make_snapshot(inventory)
        return self._snapshot[1]

    def forget_snapshot(self) -> None:
        """Note that something has changed."""
        self._snapshot = None

    def _make_snapshot(self, inventory: GpuInventory) -> PoolSnapshot:
        between = self.phase is not None and self.waiting is HealthState.STOPPED
        waiting = HealthState.RESTARTING if between else self.waiting
        replicas = tuple(
            replica.snapshot(
                waiting,
                draining=self.draining,
                closing=self.closing,
                fault=self.fault,
            )
            for replica in self.replicas.values()
        )
        best = min(replicas, key=_rank, default=None)
        vram_total, vram_free = self._vram(inventory)
        return PoolSnapshot(
            pool_id=self.config.id,
            live=any(replica.health.live for replica in replicas),
            ready=any(replica.health.ready for replica in replicas),
            draining=self.draining,
            slots_total=sum(replica.slots_total for replica in replicas),
            slots_free=sum(replica.slots_free for replica in replicas),
            active_leases=sum(replica.active_leases for replica in replicas),
            vram_total_bytes=vram_total,
            vram_free_bytes=vram_free,
            engine=self.config.engine,
            engine_version=best.engine_version if best else None,
            model_id=best.model_id if best else None,
            device_mask=best.device_mask if best else None,
            last_error=self._last_error(replicas),
            state=best.health.state if best else self.waiting,
            replicas=replicas,
            swap_models=self.config.swap_models,
            loadable_models=self.loadable,
            load_failures=(*self.load_failures, *_failed(best)),
            change=self._change(),
        )

    def _change(self) -> ModelChange | None:
        coming = self.successor
        if coming is None and self.crew is not None and not self.crew.up:
            coming = self.crew
        loading = coming is not None and not coming.up
        phase = PROVISIONING if self.making else self.phase or ("loading" if loading else None)
        if phase is None:
            return None
        told = ModelChange(model_id=self.next_model, phase=phase, detail=self.making)
        if coming is None:
            return told
        entry = coming.target.model
        # Each engine of a pool reads the same files.
        total_bytes = entry.size_bytes * len(coming.target.plans)
        done_bytes = min(coming.loaded_bytes, total_bytes) if loading else total_bytes
        return told.model_copy(
            update={"model_id": entry.id, "bytes_total": total_bytes, "bytes_done": done_bytes}
        )

    def _last_error(self, replicas: tuple[ReplicaSnapshot, ...]) -> str | None:
        # Of several, the one of the replica that is worst off is the one to look at.
        errors = [
            replica.health.last_error
            for replica in sorted(replicas, key=_rank, reverse=True)
            if replica.health.last_error
        ]
        return self.fault or self.trouble or (errors[0] if errors else None)

    def _vram(self, inventory: GpuInventory) -> tuple[int, int]:
        ours = {gpu.uuid for gpu in self.devices}
        readings = [device.reading for device in inventory.devices if device.info.uuid in ours]
        return (
            sum(reading.total_bytes for reading in readings),
            sum(reading.free_bytes for reading in readings),
        )


def _failed(best: ReplicaSnapshot | None) -> tuple[LoadFailure, ...]:
    """Return that the pool's own model does not come up, where that is so."""
    if best is None or best.model_id is None or best.health.state is not HealthState.FAILED:
        return ()
    reason = best.health.last_error or "its engine failed"
    return (LoadFailure(model_id=best.model_id, reason=reason),)


def _rank(replica: ReplicaSnapshot) -> int:
    return BEST_FIRST.index(replica.health.state)
