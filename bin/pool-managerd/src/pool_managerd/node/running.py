"""Everything that a node is made of, put together in the order in which it depends."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from catalog_core import Catalog
from gpu_discovery import GpuChange, GpuMonitor
from local_pool_manager import LocalPoolManager, owning
from model_provisioner import ModelProvisioner
from narration_core import get_logger
from pool_managerd.config import Settings
from pool_managerd.http import NodeServices
from pool_managerd.node.access import Access
from pool_managerd.node.metrics import NodeMetrics
from pool_managerd.node.pools import NodePools
from pool_managerd.node.presence import Presence
from pool_managerd.node.views import NodeModels, gpu_list
from pool_managerd.relay import Relay


@dataclass(frozen=True, slots=True)
class Node:
    """A running node, but for its HTTP server."""

    services: NodeServices
    pools: NodePools
    relay: Relay
    presence: Presence


@asynccontextmanager
async def running_node(settings: Settings, access: Access) -> AsyncIterator[Node]:
    """Run pools and engines; on leaving, the engines that were started here stop."""
    began_s = time.monotonic()
    catalog = Catalog(settings.home / "catalog")
    provisioner = ModelProvisioner(catalog, base=settings.home / "models", now_ms=_now_ms)
    with owning(settings.runtime_dir):
        async with (
            GpuMonitor.running(settings.gpu_discovery_interval_ms, _tell_gpu_change) as gpus,
            LocalPoolManager.running(
                settings.pools,
                runtime_dir=settings.runtime_dir,
                models=provisioner,
                gpus=lambda: gpus.inventory,
                device_policy=settings.device_policy,
                keep_engines=settings.keep_engines,
                auto_delete_handoff=settings.auto_delete_handoff,
                watch_interval_ms=settings.watch_interval_ms,
            ) as manager,
        ):
            pools = NodePools(manager)
            models = NodeModels(catalog, pools.snapshots)
            metrics = NodeMetrics(
                settings.node_id, snapshots=pools.snapshots, inventory=lambda: gpus.inventory
            )
            relay = Relay(pools, count=metrics.relayed)
            metrics.before_exposition = relay.count
            presence = Presence(
                settings,
                pools=pools,
                models=models,
                access=access,
                inventory=lambda: gpus.inventory,
            )
            services = NodeServices(
                node_id=settings.node_id,
                pools=pools,
                models=models,
                relay=relay,
                observer=metrics,
                gpus=lambda: gpu_list(gpus.inventory, settings.device_policy),
                describe=presence.register_request,
                call_back=presence.call_back,
                uptime_ms=lambda: int((time.monotonic() - began_s) * 1000),
            )
            yield Node(services, pools, relay, presence)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _tell_gpu_change(change: GpuChange) -> None:
    get_logger(component="gpus").warning("gpu_changed", detail=repr(change))
