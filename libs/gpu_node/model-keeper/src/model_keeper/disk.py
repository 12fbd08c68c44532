"""The disk of this machine: reader, fetcher, keeper and collector around one catalog."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Self

from api_types import ApiError, ErrorCode
from catalog_core import Catalog
from http_shell import ErrorMap
from model_keeper.collecting import GarbageCollector
from model_keeper.config import DiskSettings
from model_keeper.fetching import Pulls
from model_keeper.keeping import CatalogKeeper
from model_keeper.needs import Needs
from model_keeper.ports import Disk
from model_keeper.reading import CatalogReader, DiskReader
from model_provisioner import ModelProvisioner
from pool_registry_types import PoolSnapshot


class LocalDisk:
    """Fulfils `Disks` where there is one disk only; made by `running`."""

    def __init__(self, node_id: str, disk: Disk, catalog: CatalogReader) -> None:
        self._node_id = node_id
        self._disk = disk
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
        snapshots: Callable[[], tuple[PoolSnapshot, ...]],
        loading: Callable[[], Mapping[str, tuple[str, ...]]],
        waiting: Callable[[str], int],
        changed: Callable[[], Awaitable[None]],
        freed: Callable[[int], None],
        errors: ErrorMap,
        now_ms: Callable[[], int],
    ) -> AsyncIterator[Self]:
        """Note uses and collect by the settings; on leaving, background fetches end.

        `loading` and `waiting` are as in `Needs`; `changed` is awaited when the catalog has
        another content, and `freed` told the bytes of each collection.
        """
        needs = Needs(
            catalog,
            snapshots=snapshots,
            preparing=provisioner.preparing,
            loading=loading,
            waiting=waiting,
        )
        async with asyncio.TaskGroup() as group:
            reader = CatalogReader(node_id, catalog, snapshots)
            pulls = Pulls(
                node_id, provisioner, group, errors=errors, view=reader.view, changed=changed
            )
            keeper = CatalogKeeper(
                node_id, catalog, needs, view=reader.view, changed=changed, now_ms=now_ms
            )
            collector = GarbageCollector(
                node_id,
                catalog,
                needs,
                settings.gc_policy,
                models_dir=settings.models_dir,
                changed=changed,
                freed=freed,
                now_ms=now_ms,
            )
            loops = [group.create_task(collector.note_uses(), name="uses of models")]
            if settings.gc_interval_ms:
                collecting = collector.run_every(settings.gc_interval_ms)
                loops.append(group.create_task(collecting, name="collection of models"))
            disk = Disk(
                reader=DiskReader(reader, pulls), fetcher=pulls, keeper=keeper, collector=collector
            )
            try:
                yield cls(node_id, disk, reader)
            finally:
                pulls.stop()
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
