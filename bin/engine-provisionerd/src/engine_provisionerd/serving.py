"""`engine-provisionerd` itself: put together, served, and left in order when told to."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from catalog_core import Catalog
from engine_provisionerd.config import Settings
from engine_provisionerd.gpus import masked
from engine_provisionerd.http import create_app, create_edge
from engine_provisionerd.metrics import ServiceMetrics
from engine_provisionerd.wishes import Wishes
from gpu_discovery import GpuChange, GpuMonitor
from http_shell import StopSignals, serving
from local_pool_manager import LocalPoolManager, ProvisioningOwner, RuntimeDirTaken, owning
from model_provisioner import FetchSettings, ModelProvisioner, NetworkPolicy
from narration_core import LogSettings, configure, get_logger

EXIT_CANNOT_START = 1


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    configure(
        LogSettings(
            format=settings.log_format,
            level=settings.log_level,
            service="engine-provisionerd",
            node_id=settings.node_id,
            machine_id=settings.machine_id,
        )
    )
    signals = StopSignals()
    with signals.listening():
        try:
            await _serve_until(signals.stop, settings)
        except* (RuntimeDirTaken, OSError) as group:
            return_code = _cannot_start(settings, group)
        else:
            return_code = 0
    return return_code


async def _serve_until(stop: asyncio.Event, settings: Settings) -> None:
    log, began_s = get_logger(component="engine-provisionerd"), time.monotonic()
    async with AsyncExitStack() as stack:
        metrics = await stack.enter_async_context(_running_engines(settings))
        app = create_app(metrics, uptime_ms=lambda: int((time.monotonic() - began_s) * 1000))
        edge = create_edge(metrics, bind_host=settings.bind_addr.host)
        address = await stack.enter_async_context(serving(app, edge, settings.bind_addr))
        log.info(
            "serving",
            address=str(address),
            runtime_dir=str(settings.runtime_dir),
            pools=[pool.id for pool in settings.own_pools],
            device_policy=settings.device_policy.value,
            human=f"engine-provisionerd serves {len(settings.own_pools)} pools.",
        )
        if not settings.own_pools:
            log.warning("no_pools", human='No pool has provisioning.owner = "service".')
        await stop.wait()
        log.info("stopping", human="Told to stop.")
    log.info("stopped", human="Everything has ended.")


@asynccontextmanager
async def _running_engines(settings: Settings) -> AsyncIterator[ServiceMetrics]:
    """Run the engines, and follow the wishes for their models; on leaving they stop."""
    provisioner = ModelProvisioner(
        Catalog(settings.home / "catalog"),
        base=settings.home / "models",
        now_ms=lambda: time.time_ns() // 1_000_000,
        fetch=_fetching(settings),
    )
    with owning(settings.private_dir):
        wishes = Wishes(settings.runtime_dir, settings.own_pools)
        async with (
            GpuMonitor.running(settings.gpu_discovery_interval_ms, _tell_gpu_change) as gpus,
            LocalPoolManager.running(
                wishes.applied(),
                owner=ProvisioningOwner.SERVICE,
                runtime_dir=settings.runtime_dir,
                private_dir=settings.private_dir,
                build_dir=settings.cache_dir,
                models=provisioner,
                gpus=lambda: masked(gpus.inventory, settings.gpu_mask),
                device_policy=settings.device_policy,
                keep_engines=settings.keep_engines,
                seal=wishes.seal,
                may_ask=NetworkPolicy.parse(settings.network_policy).refusal,
            ) as engines,
            asyncio.TaskGroup() as tasks,
        ):
            following = tasks.create_task(wishes.follow(engines), name="wishes")
            try:
                yield ServiceMetrics(
                    settings.node_id,
                    snapshots=engines.snapshots,
                    inventory=lambda: gpus.inventory,
                )
            finally:
                following.cancel()


def _fetching(settings: Settings) -> FetchSettings | None:
    """Return how models that are not on this disk are fetched; None: not at all."""
    return FetchSettings.of(settings) if settings.auto_pull else None


async def _tell_gpu_change(change: GpuChange) -> None:
    get_logger(component="gpus").warning("gpu_changed", detail=repr(change))


def _cannot_start(settings: Settings, group: BaseExceptionGroup[Exception]) -> int:
    """Say in one line what is in the way, whatever it was wrapped in."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    where = f"{settings.bind_addr}: " if isinstance(error, OSError) else ""
    sys.stderr.write(f"engine-provisionerd: cannot start: {where}{error}\n")
    return EXIT_CANNOT_START
