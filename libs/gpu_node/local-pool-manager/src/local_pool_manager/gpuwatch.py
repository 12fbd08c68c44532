"""What the GPUs tell about the pools: errors of their devices, and what an engine really takes."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from engine_provisioner import EngineState
from gpu_discovery import (
    CriticalErrorFound,
    DeviceDisappeared,
    GpuInventory,
    MemoryErrorsFound,
    changes,
)
from local_pool_manager.conductor import Conductor
from local_pool_manager.delegated import Delegate
from local_pool_manager.memory import DEVICE_OVERHEAD_BYTES, used_by
from local_pool_manager.pool import Pool
from local_pool_manager.records import MeasuredMemory
from local_pool_manager.registry import Registry

log = logging.getLogger(__name__)

WATCH_S = 0.25
"""How often we see whether there was a new look at the GPUs."""


async def watch_gpus(
    gpus: Callable[[], GpuInventory],
    registry: Registry,
    conductors: Mapping[str, Conductor | Delegate],
    seen: MeasuredMemory,
) -> None:
    """Take pools with a broken device out of service, and measure engines, for ever."""
    before, pools = gpus(), registry.pools
    while True:
        await asyncio.sleep(WATCH_S)
        after = gpus()
        if after is before:
            continue
        for uuid, cause in faults(before, after).items():
            for pool_id, conductor in conductors.items():
                if uuid in {gpu.uuid for gpu in pools[pool_id].devices}:
                    conductor.fault(cause)
        for pool_id, pool in pools.items():
            if pool.devices:
                registry.touch(pool_id)
        await asyncio.to_thread(measure, tuple(pools.values()), after, seen)
        before = after


def faults(before: GpuInventory, after: GpuInventory) -> dict[str, str]:
    """Return what broke between two looks: the cause by the UUID of each device."""
    found: dict[str, str] = {}
    for change in changes(before, after):
        match change:
            case DeviceDisappeared(info, reason):
                found[info.uuid] = f"GPU {info.device_id} ({info.name}) is lost: {reason}"
            case MemoryErrorsFound(info, new_errors):
                found[info.uuid] = (
                    f"GPU {info.device_id} ({info.name}) counted {new_errors} uncorrected memory "
                    "errors (ECC): what it computes cannot be trusted"
                )
            case CriticalErrorFound(info, xid):
                found[info.uuid] = (
                    f"GPU {info.device_id} ({info.name}) had a critical error (Xid {xid}): what "
                    "runs on it is lost"
                )
    return found


def measure(pools: Iterable[Pool], inventory: GpuInventory, seen: MeasuredMemory) -> None:
    """Remember what each engine that has got ready takes of its devices; blocks."""
    for pool in pools:
        crew = pool.crew
        if crew is None or not pool.devices:
            continue
        for plan in crew.target.plans:
            status = crew.statuses.get(plan.wish.replica_id)
            if status is None or status.state is not EngineState.READY or status.pid is None:
                continue
            held = used_by(inventory.devices, [status.compute_pid or status.pid])
            total = sum(held.values()) - len(held) * DEVICE_OVERHEAD_BYTES
            if total > 0 and total != seen.of(plan):
                log.info("engine %s/%s takes %d bytes", pool.config.id, plan.wish.replica_id, total)
                seen.record(plan, total)
