"""The disk of this machine: reader, fetcher, keeper and collector around one catalog."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, Self

from api_types import ApiError, ErrorCode
from catalog_core import Catalog
from http_shell import ErrorMap
from model_cache import ModelCache
from model_keeper.collecting import GarbageCollector
from model_keeper.config import DiskSettings
from model_keeper.fetching import Pulls
from model_keeper.keeping import CatalogKeeper
from model_keeper.needs import Needs
from model_keeper.ports import Disk
from model_keeper.purging import PoolPurger, RestingPools
from model_keeper.reading import CatalogReader, DiskReader
from model_keeper.staging import CacheMetrics, Loads, Staging
from model_provisioner import ModelProvisioner
from telemetry_core import Metrics


class Pools(RestingPools, Protocol):
    """The pools of this machine, as the disk needs them."""

    def subscribe(
        self, callback: Callable[[str], None], *, leases: bool = True
    ) -> Callable[[], None]:
        """Call back soon after each change of a pool, on request not for its leases alone.

        The result ends that.
        """
        ...


class LocalDisk:
    """Fulfils `Disks` where there is one disk only; made by `running`."""

    def __init__(
        self, node_id: str, disk: Disk, catalog: CatalogReader, purger: PoolPurger
    ) -> None:
        self._node_id = node_id
        self._disk = disk
        self.purger = purger
        """Deletes what a pool takes of it."""
        self.catalog = catalog
        """What of its models is shown."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        node_id: str,
        settings: DiskSettings,
        *,
        catalog: Catalog,
        provisioner: ModelProvisioner,
        pools: Pools,
        loads: Loads,
        waiting: Callable[[str], int],
        changed: Callable[[], Awaitable[None]],
        metrics: Metrics,
        errors: ErrorMap,
        now_ms: Callable[[], int],
    ) -> AsyncIterator[Self]:
        """Note uses and collect by the settings; on leaving, background fetches end.

        `loads` is told by those who start engines; `waiting` is as in `Needs`; `changed` is
        awaited when the catalog has another content.
        """
        snapshots = pools.snapshots
        needs = Needs(
            catalog,
            snapshots=snapshots,
            preparing=provisioner.preparing,
            loading=pools.model_refs,
            waiting=waiting,
        )
        async with (
            ModelCache.running(
                settings.model_cache_max_bytes, observer=CacheMetrics(metrics)
            ) as cache,
            asyncio.TaskGroup() as group,
        ):
            staging = Staging(node_id, catalog, cache, snapshots=snapshots)
            loads.listen(staging.loads)
            loads.next_model = staging.stage_ahead

            async def told() -> None:
                await staging.forget_deleted()
                await changed()

            reader = CatalogReader(node_id, catalog, snapshots)
            pulls = Pulls(
                node_id,
                provisioner,
                group,
                errors=errors,
                view=reader.view,
                changed=told,
            )
            keeper = CatalogKeeper(
                node_id, catalog, needs, view=reader.view, changed=told, now_ms=now_ms
            )
            collector = GarbageCollector(
                node_id,
                catalog,
                needs,
                settings.gc_policy,
                models_dir=settings.models_dir,
                changed=told,
                freed=metrics.counter("model_gc_freed_bytes_total").labels().inc,
                now_ms=now_ms,
            )
            unsubscribe = pools.subscribe(lambda _pool_id: staging.stir(), leases=False)
            loops = [
                group.create_task(collector.note_uses(), name="uses of models"),
                group.create_task(staging.follow(), name="models in RAM"),
            ]
            if settings.gc_interval_ms:
                collecting = collector.run_every(settings.gc_interval_ms)
                loops.append(group.create_task(collecting, name="collection of models"))
            purger = PoolPurger(pools, needs, keeper, group, unstage=staging.unstage)
            disk = Disk(
                reader=DiskReader(reader, pulls),
                fetcher=pulls,
                keeper=keeper,
                collector=collector,
                stager=staging,
            )
            try:
                yield cls(node_id, disk, reader, purger)
            finally:
                unsubscribe()
                pulls.stop()
                purger.stop()
                for loop in loops:
                    loop.cancel()

    def of(self, node_id: str | None) -> Disk:
        """See `Disks`."""
        if node_id not in (None, self._node_id):
            raise ApiError(
                ErrorCode.NODE_UNKNOWN,
                f"this is node {self._node_id}; no node {node_id} is known",
            )
        return self._disk
