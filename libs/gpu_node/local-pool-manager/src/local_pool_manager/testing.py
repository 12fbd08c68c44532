"""Fakes of this library's ports, and what tests of its users wait for."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from catalog_core import FileStamp, ModelEntry, file_digest, read_gguf_header
from gpu_discovery import GpuInventory
from local_pool_manager.config import PoolConfig
from local_pool_manager.manager import LocalPoolManager
from pool_registry_types import PoolSnapshot

NO_GPU = GpuInventory(reason="libnvidia-ml.so.1 is not there")
WAIT_S = 20.0


class FixedModels:
    """A source of models that are all there already; an exception in place of one is raised."""

    def __init__(self, models: Mapping[str, ModelEntry | Exception]) -> None:
        self.models = dict(models)

    async def ensure(self, reference: str) -> ModelEntry:
        """See `ModelSource.ensure`."""
        match self.models.get(reference):
            case ModelEntry() as entry:
                return entry
            case Exception() as error:
                raise error
            case _:
                raise LookupError(f"no model {reference!r}")


def entry_of(path: Path, model_id: str) -> ModelEntry:
    """Return what a catalog would say about a GGUF file."""
    return ModelEntry(
        id=model_id,
        reference=f"file:{path}",
        path=path,
        digest=file_digest(path),
        size_bytes=path.stat().st_size,
        header=read_gguf_header(path),
        stamp=FileStamp.of(path),
        created_ms=0,
        last_used_ms=0,
    )


def small_pool(**changes: object) -> PoolConfig:
    """Return a pool `demo` of two slots that leaves most of the machine to others."""
    values = {"id": "demo", "model_ref": "recital", "slots": 2, "ctx": 512, "threads": 1}
    return PoolConfig.model_validate({**values, **changes})


async def until(
    manager: LocalPoolManager, pool_id: str, seen: Callable[[PoolSnapshot], bool]
) -> PoolSnapshot:
    """Wait for a snapshot, by the manager's own word that something changed."""
    changed = asyncio.Event()
    end = manager.subscribe(lambda _: changed.set())
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                known = {snapshot.pool_id: snapshot for snapshot in manager.snapshots()}
                if pool_id in known and seen(known[pool_id]):
                    return known[pool_id]
                await changed.wait()
                changed.clear()
    finally:
        end()


async def until_ready(manager: LocalPoolManager, pool_id: str = "demo") -> PoolSnapshot:
    """Wait until the pool is ready."""
    return await until(manager, pool_id, lambda snapshot: snapshot.ready)
