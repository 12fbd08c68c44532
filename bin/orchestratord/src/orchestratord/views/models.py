"""The catalog as clients see it."""

import asyncio
from collections.abc import Callable

from api_types import ModelView
from catalog_core import Catalog, ModelEntry
from pool_registry_types import PoolSnapshot


class CatalogModels:
    """Reads the catalog off the loop, since it lies on a disk, and adds who serves what."""

    def __init__(self, catalog: Catalog, snapshots: Callable[[], tuple[PoolSnapshot, ...]]) -> None:
        self._catalog = catalog
        self._snapshots = snapshots

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
