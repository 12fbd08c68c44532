"""`engine-provisionerd plan`: how each engine would be started; nothing is started, nor fetched."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from catalog_core import (
    Catalog,
    CatalogError,
    FileStamp,
    ModelEntry,
    ModelRef,
    RefScheme,
    derive_model_id,
    read_gguf_header,
)
from engine_provisioner import EngineError, plan_engine, preview, survey_machine
from engine_provisionerd.config import Settings
from engine_provisionerd.gpus import masked
from gpu_discovery import GpuInventory, discover
from local_pool_manager import PoolConfig, PoolError, ProvisioningMode
from local_pool_manager.bringup import choose_devices, wish_for

EXIT_NOT_ALL = 1
NOT_READ = f"sha256:{'0' * 64}"
"""Stands for the digest of a file that is not in the catalog yet: a plan does not depend on it."""


class ModelNotHere(Exception):
    """The model would have to be fetched first."""


async def print_plans(settings: Settings) -> int:
    """Print a plan, or what is missing, for each pool whose engine we could start."""
    inventory = masked(await asyncio.to_thread(discover), settings.gpu_mask)
    catalog = Catalog(settings.home / "catalog")
    failed = False
    for pool in settings.pools:
        owner = pool.provisioning.owner.value
        heading = f"{pool.id} (owner {owner}, mode {pool.provisioning.mode.value}): "
        try:
            lines = await _plan(pool, settings, catalog, inventory)
        except (CatalogError, EngineError, PoolError, ModelNotHere, OSError) as error:
            failed = True
            lines = (f"NOT READY: {error}",)
        sys.stdout.write("".join(f"{heading}{line}\n" for line in lines))
    return EXIT_NOT_ALL if failed else 0


async def _plan(
    pool: PoolConfig, settings: Settings, catalog: Catalog, inventory: GpuInventory
) -> tuple[str, ...]:
    if pool.provisioning.mode is ProvisioningMode.EXTERNAL:
        return ("somebody else starts it and writes its handoff file",)
    if pool.model_ref is None:
        return ("no model is configured (model_ref): nothing is started",)
    gpus = choose_devices(pool, settings.device_policy, inventory)
    model = await asyncio.to_thread(_find, pool.model_ref, catalog, settings.home / "models")
    wish, survey, missing = await preview(
        wish_for(pool, model, gpus), await survey_machine(), settings.cache_dir
    )
    if missing is not None:
        return (f"first {missing}",)
    return tuple(
        [
            str(await asyncio.to_thread(plan_engine, replace(wish, replica_id=name), survey))
            for name in (f"r{number}" for number in range(pool.replicas))
        ]
    )


def _find(reference: str, catalog: Catalog, base: Path) -> ModelEntry:
    if known := catalog.locate(reference):
        return known
    parsed = ModelRef.parse(reference)
    if parsed.scheme is not RefScheme.FILE:
        raise ModelNotHere(f"{reference} is not on this disk yet; `llorch pull` brings it")
    path = parsed.resolve(base)
    if known := catalog.locate(path):
        return known
    return ModelEntry(
        id=derive_model_id(path.name),
        reference=reference,
        path=path,
        digest=NOT_READ,
        size_bytes=path.stat().st_size,
        header=read_gguf_header(path),
        stamp=FileStamp.of(path),
        created_ms=0,
        last_used_ms=0,
    )
