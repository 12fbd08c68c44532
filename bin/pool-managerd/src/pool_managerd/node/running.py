"""Everything that a node is made of, put together in the order in which it depends."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from catalog_core import Catalog
from gpu_discovery import GpuMonitor, gpu_list
from local_pool_manager import GpuCourse, LocalPoolManager, owning
from model_keeper import CountedProvisioner, Loads, LocalDisk
from model_provisioner import NetworkPolicy
from pool_managerd.config import Settings
from pool_managerd.http import ERRORS, NodeServices
from pool_managerd.node.access import Access
from pool_managerd.node.metrics import NodeMetrics
from pool_managerd.node.pools import NodePools
from pool_managerd.node.presence import Presence
from pool_managerd.node.views import ModelReports
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
    catalog = Catalog(settings.catalog_dir)
    metrics = NodeMetrics(settings.node_id)
    loads = Loads()
    provisioner = CountedProvisioner(
        catalog,
        base=settings.models_dir,
        now_ms=_now_ms,
        fetch=settings.fetch,
        fetched=metrics.contract.counter("model_fetch_bytes_total").labels().inc,
    )
    gpu_course = GpuCourse(metrics.pool_events)
    reports = ModelReports(catalog)
    await reports.refresh()
    with owning(settings.runtime_dir):
        async with (
            GpuMonitor.running(settings.gpu_discovery_interval_ms, gpu_course.tell) as gpus,
            LocalPoolManager.running(
                settings.pools,
                runtime_dir=settings.runtime_dir,
                models=provisioner,
                gpus=lambda: gpus.inventory,
                device_policy=settings.device_policy,
                keep_engines=settings.keep_engines,
                auto_delete_handoff=settings.auto_delete_handoff,
                watch_interval_ms=settings.watch_interval_ms,
                loadable=reports.loadable,
                look=gpus.look,
                may_ask=NetworkPolicy.parse(settings.network_policy).refusal,
                on_handoff=metrics.pool_events.handoff_processed,
                on_check=metrics.pool_events.health_checked,
                on_load=loads,
                stage=loads.stage,
            ) as manager,
        ):
            pools = NodePools(manager, metrics.pool_events)
            reports.loadable_changed = manager.loadable_changed
            relay = Relay(pools, count=metrics.relayed)
            metrics.show(pools.snapshots, lambda: gpus.inventory)
            metrics.before_exposition = relay.passages.count
            pools.subscribe(relay.passages.look)
            presence = Presence(
                settings,
                pools=pools,
                models=reports,
                access=access,
                inventory=lambda: gpus.inventory,
            )

            async def models_changed() -> None:
                await reports.refresh()
                presence.models_changed()

            async with LocalDisk.running(
                settings.node_id,
                settings,
                catalog=catalog,
                provisioner=provisioner,
                pools=manager,
                loads=loads,
                waiting=manager.waiting,
                changed=models_changed,
                metrics=metrics.contract,
                errors=ERRORS,
                now_ms=_now_ms,
            ) as disk:
                services = NodeServices(
                    node_id=settings.node_id,
                    pools=pools,
                    disks=disk,
                    purger=disk.purger,
                    relay=relay,
                    observer=metrics,
                    gpus=lambda: gpu_list(gpus.inventory, settings.device_policy),
                    describe=presence.register_request,
                    call_back=presence.call_back,
                    uptime_ms=lambda: int((time.monotonic() - began_s) * 1000),
                )
                try:
                    yield Node(services, pools, relay, presence)
                finally:
                    relay.passages.close_kept()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
