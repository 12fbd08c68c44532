"""Everything that HOME is made of, put together in the order in which it depends on each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapter_host import AdapterHost
from admission_coordinator import AdmissionCoordinator
from artifact_store import LocalArtifactStore
from catalog_core import Catalog
from gpu_discovery import GpuMonitor
from local_pool_manager import GpuCourse, LocalPoolManager, PoolCourse, owning
from model_keeper import CountedProvisioner, Loads, LocalDisk
from model_provisioner import NetworkPolicy, Progress
from orchestratord.access import Access
from orchestratord.clock import SteadyClock
from orchestratord.composed import (
    Composed,
    cluster_view,
    coordinator_settings,
    observing_tasks,
)
from orchestratord.config import Settings, file_url_path
from orchestratord.home.demand import LocalDemand
from orchestratord.home.directory import HomeDirectory
from orchestratord.home.feed import ClusterFeed
from orchestratord.home.replicas import LeasedReplicas
from orchestratord.home.wanted import WantedModels
from orchestratord.http.errors import ERRORS
from orchestratord.http.services import Services
from orchestratord.observing import HttpMetrics, PoolGauges, PoolHealthMetrics, UpstreamMetrics
from orchestratord.views import LocalMachine, LocalPools
from telemetry_core import Metrics, PoolMetrics, Program


@asynccontextmanager
async def running_home(settings: Settings, _access: Access) -> AsyncIterator[Composed]:
    """Run everything but the HTTP server; on leaving, tasks end first and engines last."""
    now_ms = SteadyClock()
    metrics = Metrics(
        Program.ORCHESTRATORD, Program.POOL_MANAGERD, constant={"node_id": settings.node_id}
    )
    pool_events, pool_health = PoolMetrics(metrics), PoolHealthMetrics(metrics)
    gpu_course = GpuCourse(pool_events)

    def health_checked(pool_id: str, outcome: str, took_ms: float) -> None:
        pool_events.health_checked(pool_id, outcome, took_ms)
        pool_health.checked(pool_id, outcome, took_ms)

    catalog = Catalog(settings.catalog_dir)
    models = CountedProvisioner(
        catalog,
        base=settings.models_dir,
        now_ms=now_ms,
        fetch=settings.fetch,
        fetched=metrics.counter("model_fetch_bytes_total").labels().inc,
    )
    artifacts = LocalArtifactStore(file_url_path(settings.artifacts_url))
    loads = Loads()
    host = AdapterHost(on_call=UpstreamMetrics(metrics).engine_called)
    cluster = cluster_view(settings)
    may_fetch = settings.auto_pull and any(pool.swap_models for pool in settings.pools)
    wanted = WantedModels(settings.fetch if may_fetch else None, now_ms=now_ms)
    directory = HomeDirectory(
        cluster, aliases=settings.model_aliases, catalog=catalog, wanted=wanted
    )
    await directory.refresh()
    with owning(settings.runtime_dir):
        async with (
            GpuMonitor.running(settings.gpu_discovery_interval_ms, gpu_course.tell) as gpus,
            LocalPoolManager.running(
                settings.pools,
                runtime_dir=settings.runtime_dir,
                models=models,
                gpus=lambda: gpus.inventory,
                device_policy=settings.device_policy,
                keep_engines=settings.keep_engines,
                auto_delete_handoff=settings.auto_delete_handoff,
                watch_interval_ms=settings.watch_interval_ms,
                swap_max_wait_ms=settings.batch_max_wait_ms,
                loadable=directory.loadable,
                look=gpus.look,
                may_ask=NetworkPolicy.parse(settings.network_policy).refusal,
                on_handoff=pool_events.handoff_processed,
                on_check=health_checked,
                on_load=loads,
                stage=loads.stage,
            ) as pools,
            observing_tasks(settings, metrics, artifacts, now_ms) as observer,
            AdmissionCoordinator.running(
                coordinator_settings(settings),
                cluster=cluster,
                replicas=(replicas := LeasedReplicas(pools, host, cluster, now_ms=now_ms)),
                models=directory,
                observer=observer,
                now_ms=now_ms,
                demand=LocalDemand(pools, wanted),
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
                wanted=wanted,
                changed=coordinator.cluster_changed,
            )
            directory.changed = pools.loadable_changed
            wanted.changed = feed.tell_again

            async def models_changed() -> None:
                await directory.refresh()
                await feed.caught_up()

            async def bring(reference: str, on_progress: Progress) -> str:
                entry = await models.ensure(reference, on_progress=on_progress)
                await models_changed()
                return entry.id

            wanted.begin(group, bring)
            following = group.create_task(feed.run(), name="cluster feed")
            gauges = PoolGauges(
                metrics,
                pools.snapshots,
                inventory=lambda: gpus.inventory,
                broken=cluster.open_breakers,
            )
            course = PoolCourse(pool_events, pools.snapshot, known=pools.snapshots(), now_ms=now_ms)
            pools.subscribe(course.look, leases=False)
            machine = LocalMachine(
                settings,
                catalog=catalog,
                snapshots=pools.snapshots,
                inventory=lambda: gpus.inventory,
                descriptions=lambda: feed.descriptions,
            )
            async with LocalDisk.running(
                settings.node_id,
                settings,
                catalog=catalog,
                provisioner=models,
                pools=pools,
                loads=loads,
                waiting=coordinator.queue_depth,
                changed=models_changed,
                metrics=metrics,
                errors=ERRORS,
                now_ms=now_ms,
            ) as disk:
                local_pools = LocalPools(
                    settings.node_id,
                    pools,
                    changed=feed.caught_up,
                    reloading=course.follow_reload,
                    purger=disk.purger,
                )
                try:
                    yield Composed(
                        services=Services(
                            tasks=coordinator,
                            artifacts=artifacts,
                            pools=local_pools,
                            models=disk.catalog,
                            disks=disk,
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
            following.cancel()
            wanted.stop()
        await host.close()
