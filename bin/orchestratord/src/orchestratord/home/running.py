"""Everything that HOME is made of, put together in the order in which it depends on each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from adapter_host import AdapterHost
from admission_coordinator import AdmissionCoordinator
from artifact_store import LocalArtifactStore
from catalog_core import Catalog
from gpu_discovery import GpuChange, GpuMonitor
from local_pool_manager import LocalPoolManager, owning
from model_provisioner import FetchSettings, NetworkPolicy
from multi_node_placement import ClusterView
from narration_core import get_logger
from orchestratord.clock import SteadyClock
from orchestratord.composed import Composed, coordinator_settings
from orchestratord.config import Settings, file_url_path
from orchestratord.home.directory import HomeDirectory
from orchestratord.home.feed import ClusterFeed
from orchestratord.home.fetching import CountedProvisioner, Pulls
from orchestratord.home.keeping import CatalogKeeper, GarbageCollector, policy_of
from orchestratord.home.needs import Needs
from orchestratord.home.replicas import LeasedReplicas
from orchestratord.http.services import Disk, Services
from orchestratord.observing import FanOut, HttpMetrics, PoolGauges, TaskMetrics, TaskNarrator
from orchestratord.views import CatalogModels, LocalMachine, LocalPools, check_own
from telemetry_core import Metrics, Program


@asynccontextmanager
async def running_home(settings: Settings) -> AsyncIterator[Composed]:
    """Run everything but the HTTP server; on leaving, tasks end first and engines last."""
    now_ms = SteadyClock()
    metrics = Metrics(
        Program.ORCHESTRATORD, Program.POOL_MANAGERD, constant={"node_id": settings.node_id}
    )
    catalog = Catalog(settings.home / "catalog")
    models = CountedProvisioner(
        catalog,
        base=settings.home / "models",
        now_ms=now_ms,
        fetch=_fetching(settings),
        fetched=metrics.counter("model_fetch_bytes_total").labels().inc,
    )
    host = AdapterHost()
    cluster = ClusterView()
    directory = HomeDirectory(cluster, aliases=settings.model_aliases, catalog=catalog)
    with owning(settings.runtime_dir):
        async with (
            GpuMonitor.running(settings.gpu_discovery_interval_ms, _tell_gpu_change) as gpus,
            LocalPoolManager.running(
                settings.pools,
                runtime_dir=settings.runtime_dir,
                models=models,
                gpus=lambda: gpus.inventory,
                device_policy=settings.device_policy,
                keep_engines=settings.keep_engines,
                auto_delete_handoff=settings.auto_delete_handoff,
                watch_interval_ms=settings.watch_interval_ms,
            ) as pools,
            AdmissionCoordinator.running(
                coordinator_settings(settings),
                cluster=cluster,
                replicas=(replicas := LeasedReplicas(pools, host, cluster, now_ms=now_ms)),
                models=directory,
                observer=FanOut(TaskMetrics(metrics), TaskNarrator()),
                now_ms=now_ms,
            ) as coordinator,
            asyncio.TaskGroup() as group,
        ):
            feed = ClusterFeed(
                settings.node_id,
                pools=pools,
                cluster=cluster,
                host=host,
                replicas=replicas,
                directory=directory,
                changed=coordinator.cluster_changed,
            )
            following = group.create_task(feed.run(), name="cluster feed")
            gauges = PoolGauges(metrics, pools.snapshots)
            machine = LocalMachine(
                settings,
                catalog=catalog,
                snapshots=pools.snapshots,
                inventory=lambda: gpus.inventory,
                descriptions=lambda: feed.descriptions,
            )
            local_pools = LocalPools(settings.node_id, pools, changed=feed.report_now)
            catalog_models = CatalogModels(settings.node_id, catalog, pools.snapshots)
            needs = Needs(
                catalog,
                snapshots=pools.snapshots,
                preparing=models.preparing,
                changing=local_pools.changing,
                waiting=coordinator.queue_depth,
            )
            pulls = Pulls(models, group, view=catalog_models.view, changed=directory.refresh)
            collector = GarbageCollector(
                catalog,
                needs,
                policy_of(settings),
                models_dir=settings.home / "models",
                changed=directory.refresh,
                freed=metrics.counter("model_gc_freed_bytes_total").labels().inc,
                now_ms=now_ms,
            )
            loops = [following, group.create_task(collector.note_uses(), name="uses of models")]
            if settings.gc_interval_ms:
                collecting = collector.run_every(settings.gc_interval_ms)
                loops.append(group.create_task(collecting, name="collection of models"))
            try:
                yield Composed(
                    services=Services(
                        tasks=coordinator,
                        artifacts=LocalArtifactStore(file_url_path(settings.artifacts_url)),
                        pools=local_pools,
                        models=catalog_models,
                        disk=Disk(
                            fetcher=pulls,
                            keeper=CatalogKeeper(
                                catalog,
                                needs,
                                view=catalog_models.view,
                                changed=directory.refresh,
                                now_ms=now_ms,
                            ),
                            collector=collector,
                            check_node=partial(check_own, settings.node_id),
                        ),
                        machine=machine,
                        observer=HttpMetrics(metrics, refresh=gauges.refresh),
                        now_ms=now_ms,
                    ),
                    coordinator=coordinator,
                    machine=machine,
                )
            finally:
                machine.begin_shutdown()
                await coordinator.shut_down(grace_ms=settings.shutdown_grace_ms)
                pulls.stop()
                for loop in loops:
                    loop.cancel()
        await host.close()


def _fetching(settings: Settings) -> FetchSettings | None:
    """Return how models that are not on this disk are fetched; None: not at all."""
    if not settings.auto_pull:
        return None
    return FetchSettings(policy=NetworkPolicy.parse(settings.network_policy))


async def _tell_gpu_change(change: GpuChange) -> None:
    get_logger(component="gpus").warning("gpu_changed", detail=repr(change))
