"""What this machine tells about itself."""

import asyncio
import os
from collections.abc import Callable

from api_types import GpuList, GpuView, ModelView
from catalog_core import Catalog, ModelEntry
from gpu_discovery import DevicePolicy, GpuInventory, check
from node_types import NodeCapabilities
from pool_registry_types import ModelReport, ModelState, PoolSnapshot


class NodeModels:
    """The catalog of this disk, read off the loop, with who serves what."""

    def __init__(self, catalog: Catalog, snapshots: Callable[[], tuple[PoolSnapshot, ...]]) -> None:
        self._catalog = catalog
        self._snapshots = snapshots
        self.reports: tuple[ModelReport, ...] = ()
        """As of the last `refresh`: what heartbeats say."""

    async def refresh(self) -> None:
        """Read the catalog again."""
        self.reports = tuple(
            ModelReport(model_id=entry.id, digest=entry.digest, state=ModelState(entry.state.value))
            for entry in await asyncio.to_thread(self._catalog.list)
        )

    async def models(self) -> tuple[ModelView, ...]:
        """Return all models."""
        entries = await asyncio.to_thread(self._catalog.list)
        return tuple(self._view(entry) for entry in entries)

    async def model(self, model_id: str) -> ModelView:
        """Return one; raises MODEL_NOT_FOUND with near names."""
        return self._view(await asyncio.to_thread(self._catalog.get, model_id))

    def _view(self, entry: ModelEntry) -> ModelView:
        served_by = [
            pool.pool_id
            for pool in self._snapshots()
            if any(replica.model_id == entry.id for replica in pool.replicas)
        ]
        return ModelView(
            model_id=entry.id,
            reference=entry.reference,
            state=entry.state,
            digest=entry.digest,
            size_bytes=entry.size_bytes,
            ctx_max=entry.header.context_length,
            architecture=entry.header.architecture,
            quantization=entry.header.quantization,
            served_by=tuple(served_by),
        )


def gpu_list(inventory: GpuInventory, policy: DevicePolicy) -> GpuList:
    """Return the GPUs, or why there are none."""
    views = tuple(
        GpuView(
            **device.info.model_dump(),
            vram_used_bytes=device.reading.used_bytes,
            utilization_percent=device.reading.utilization_percent,
        )
        for device in inventory.devices
    )
    reason = None if views else check(policy, inventory).message
    return GpuList(gpus=views, device_policy=policy, reason=reason)


def capabilities(inventory: GpuInventory) -> NodeCapabilities:
    """Return the hardware of this machine."""
    return NodeCapabilities(
        gpus=inventory.infos,
        cpu_cores=os.cpu_count() or 1,
        ram_total_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )
