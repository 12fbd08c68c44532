"""Which models of this disk are in RAM besides: before or after they serve, never meanwhile.

A pool's model lies in the memory of its GPUs. A copy of it in RAM helps the next load, not this
one: it is let go as soon as an engine serves the model, and a pinned one is brought back when no
engine does any more.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from api_types import ApiError, CacheView, ErrorCode, StagedView
from catalog_core import Catalog, ModelEntry
from model_cache import CacheError, CacheTooSmall, ModelCache, StagedModel
from narration_core import get_logger
from pool_registry_types import PoolSnapshot
from telemetry_core import Metrics


class Loads:
    """Takes notes of engines that begin to read a model, until somebody listens to them."""

    def __init__(self) -> None:
        self._noted: list[Path] = []
        self._listener: Callable[[Path], None] | None = None
        self.next_model: Callable[[str], None] = lambda _model_id: None
        """Told which model a pool will load before long."""

    def stage(self, model_id: str) -> None:
        """A pool will load this model before long."""
        self.next_model(model_id)

    def __call__(self, path: Path) -> None:
        """An engine begins to read this model."""
        if self._listener is None:
            self._noted.append(path)
        else:
            self._listener(path)

    def listen(self, listener: Callable[[Path], None]) -> None:
        """Tell it what was noted, and all that comes."""
        self._listener = listener
        while self._noted:
            listener(self._noted.pop(0))


class CacheMetrics:
    """Counts for the metrics of the contract what the cache does."""

    def __init__(self, metrics: Metrics) -> None:
        self._hits = metrics.counter("model_cache_hits_total").labels()
        self._misses = metrics.counter("model_cache_misses_total").labels()
        self._size = metrics.gauge("model_cache_size_bytes").labels()

    def hit(self, model_id: str) -> None:  # noqa: ARG002 - no series a model
        """See `CacheObserver`."""
        self._hits.inc()

    def missed(self, path: str) -> None:  # noqa: ARG002
        """See `CacheObserver`."""
        self._misses.inc()

    def evicted(self, model_id: str) -> None:
        """See `CacheObserver`."""
        get_logger(component="models").info("model_evicted", model_id=model_id)

    def sized(self, used_bytes: int, budget_bytes: int) -> None:  # noqa: ARG002
        """See `CacheObserver`."""
        self._size.set(used_bytes)


class Staging:
    """The `ModelStager` of this machine; its methods belong to the loop that runs the cache."""

    def __init__(
        self,
        node_id: str,
        catalog: Catalog,
        cache: ModelCache,
        *,
        snapshots: Callable[[], tuple[PoolSnapshot, ...]],
    ) -> None:
        self._node_id = node_id
        self._catalog = catalog
        self._cache = cache
        self._snapshots = snapshots
        self._pinned: dict[str, ModelEntry] = {}
        self._ahead: set[str] = set()
        self._stirred = asyncio.Event()
        self._log = get_logger(component="models")

    async def view(self) -> CacheView:
        """See `ModelStager`."""
        status = self._cache.status()
        staged = {model.model_id for model in status.models}
        away = [entry for model_id, entry in self._pinned.items() if model_id not in staged]
        return CacheView(
            budget_bytes=status.budget_bytes,
            used_bytes=status.used_bytes,
            hits=status.hits,
            misses=status.misses,
            evictions=status.evictions,
            models=(*map(self._staged, status.models), *map(self._served, away)),
        )

    async def stage(self, model_id: str, *, pinned: bool) -> StagedView:
        """See `ModelStager`."""
        entry = await asyncio.to_thread(self._catalog.get, model_id)
        holder = self._serving().get(model_id)
        if holder is not None and not pinned:
            raise ApiError(
                ErrorCode.MODEL_IN_USE,
                f"model {model_id!r} is served by pool {holder}: a copy in RAM helps no engine now",
                hint="pinned it is staged as soon as no pool serves it",
            )
        if holder is None:
            staged = self._bring(entry, pinned=pinned)
        if not pinned:
            self._pinned.pop(model_id, None)
            return self._staged(staged)
        self._pinned[model_id] = entry
        return self._served(entry) if holder is not None else self._staged(staged)

    async def unstage(self, model_id: str) -> None:
        """See `ModelStager`."""
        was_pinned = self._pinned.pop(model_id, None) is not None
        try:
            self._cache.unstage(model_id)
        except CacheError as error:
            if not was_pinned:
                raise ApiError(ErrorCode.MODEL_NOT_FOUND, str(error)) from error

    def loads(self, path: Path) -> None:
        """Note that an engine begins to read a model: from RAM or from the disk."""
        outcome = "hit" if self._cache.hit(path) else "miss"
        self._log.info("model_load_begins", path=str(path), model_cache=outcome)

    def stir(self) -> None:
        """Look again: a pool has changed."""
        self._stirred.set()

    def stage_ahead(self, model_id: str) -> None:
        """Stage a model that a pool will load before long, if there is room for it."""
        self._ahead.add(model_id)
        self._stirred.set()

    async def follow(self) -> None:
        """Let go what an engine has taken, and bring what is pinned or will be wanted; a loop."""
        while True:
            self._stirred.clear()
            serving = self._serving()
            for model in self._cache.status().models:
                if (holder := serving.get(model.model_id)) is not None:
                    self._cache.unstage(model.model_id)
                    self._log.info("model_unstaged", model_id=model.model_id, served_by=holder)
            staged = {model.model_id for model in self._cache.status().models}
            for model_id, entry in tuple(self._pinned.items()):
                if model_id not in staged and model_id not in serving:
                    self._try_to_bring(entry, pinned=True)
            ahead, self._ahead = self._ahead - staged - serving.keys(), set()
            for entry in await asyncio.to_thread(self._catalog.list) if ahead else ():
                if entry.id in ahead:
                    self._try_to_bring(entry, pinned=False)
            await self._stirred.wait()

    async def forget_deleted(self) -> None:
        """Let go what is not in the catalog any more."""
        known = {entry.id for entry in await asyncio.to_thread(self._catalog.list)}
        for model_id in {*self._pinned} - known:
            del self._pinned[model_id]
        for model in self._cache.status().models:
            if model.model_id not in known:
                self._cache.unstage(model.model_id)

    def _try_to_bring(self, entry: ModelEntry, *, pinned: bool) -> None:
        try:
            self._bring(entry, pinned=pinned)
        except ApiError as error:
            # A pinned one is tried again with the next change of a pool.
            self._log.info("model_not_staged", model_id=entry.id, reason=error.message)

    def _bring(self, entry: ModelEntry, *, pinned: bool) -> StagedModel:
        files = tuple(file.path for file in entry.files)
        try:
            return self._cache.stage(entry.id, entry.path, files=files, pinned=pinned)
        except CacheTooSmall as error:
            raise ApiError(ErrorCode.INSUFFICIENT_RAM, str(error)) from error
        except OSError as error:
            raise ApiError(
                ErrorCode.MODEL_NOT_FOUND, f"model {entry.id!r}: a file is missing ({error})"
            ) from error

    def _serving(self) -> dict[str, str]:
        """Return the models that engines serve now, each with its pool."""
        return {
            replica.model_id: pool.pool_id
            for pool in self._snapshots()
            for replica in pool.replicas
            if replica.model_id is not None and replica.health.ready
        }

    def _staged(self, model: StagedModel) -> StagedView:
        return StagedView(
            model_id=model.model_id,
            node_id=self._node_id,
            state=model.stage.value,
            size_bytes=model.size_bytes,
            done_bytes=model.done_bytes,
            method=None if model.method is None else model.method.value,
            why_not_locked=model.why_not_locked,
            pinned=model.pinned,
            error=model.error,
        )

    def _served(self, entry: ModelEntry) -> StagedView:
        return StagedView(
            model_id=entry.id,
            node_id=self._node_id,
            state="served",
            size_bytes=entry.size_bytes,
            pinned=True,
        )
