"""The catalog as clients see it."""

import asyncio
from collections.abc import Callable

from api_types import ModelView
from catalog_core import Catalog, ModelEntry
from orchestratord.views.naming import check_own
from pool_registry_types import PoolSnapshot


class CatalogModels:
    """Reads the catalog off the loop, since it lies on a disk, and adds who serves what."""

    def __init__(
        self, node_id: str, catalog: Catalog, snapshots: Callable[[], tuple[PoolSnapshot, ...]]
    ) -> None:
        self._node_id = node_id
        self._catalog = catalog
        self._snapshots = snapshots

    async def models(self, node_id: str | None = None) -> tuple[ModelView, ...]:
        """Return all models. Raises ApiError where another node is meant."""
        check_own(self._node_id, node_id)
        entries = await asyncio.to_thread(self._catalog.list)
        return tuple(self.view(entry) for entry in entries)

    async def model(self, model_id: str, node_id: str | None = None) -> ModelView:
        """Return one; raises MODEL_NOT_FOUND with near names."""
        check_own(self._node_id, node_id)
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
