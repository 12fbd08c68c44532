"""The catalog of a disk as clients see it."""

import asyncio
from collections.abc import Callable

from api_types import ModelList, ModelView
from catalog_core import Catalog, ModelEntry
from model_keeper.fetching import Pulls
from pool_registry_types import PoolSnapshot


class CatalogReader:
    """Reads the catalog off the loop, since it lies on a disk, and adds who serves what."""

    def __init__(
        self,
        node_id: str,
        catalog: Catalog,
        snapshots: Callable[[], tuple[PoolSnapshot, ...]],
    ) -> None:
        self._node_id = node_id
        self._catalog = catalog
        self._snapshots = snapshots

    async def models(self) -> tuple[ModelView, ...]:
        """Return all models."""
        entries = await asyncio.to_thread(self._catalog.list)
        return tuple(self.view(entry) for entry in entries)

    async def model(self, model_id: str) -> ModelView:
        """Return one; MODEL_NOT_FOUND with near names. Raises ApiError."""
        return self.view(await asyncio.to_thread(self._catalog.get, model_id))

    def view(self, entry: ModelEntry) -> ModelView:
        """Return an entry as clients see it."""
        served_by = [
            pool.pool_id
            for pool in self._snapshots()
            if any(replica.model_id == entry.id for replica in pool.replicas)
        ]
        return ModelView(
            model_id=entry.id,
            node_id=self._node_id,
            reference=entry.reference,
            state=entry.state,
            digest=entry.digest,
            size_bytes=entry.size_bytes,
            ctx_max=entry.header.context_length,
            architecture=entry.header.architecture,
            quantization=entry.header.quantization,
            served_by=tuple(served_by),
            pinned=entry.pinned,
            last_used_ms=entry.last_used_ms,
            verdict=entry.last_verification.verdict if entry.last_verification else None,
        )


class DiskReader:
    """The `ModelReader` of this disk: the catalog, and what is on its way to it."""

    def __init__(self, catalog: CatalogReader, pulls: Pulls) -> None:
        self._catalog = catalog
        self._pulls = pulls

    async def listing(self) -> ModelList:
        """See `ModelReader`."""
        return ModelList(models=await self._catalog.models(), pulls=self._pulls.pulls())

    async def model(self, model_id: str) -> ModelView:
        """See `ModelReader`."""
        return await self._catalog.model(model_id)
