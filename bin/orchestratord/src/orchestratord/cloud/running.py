"""Everything that CLOUD is made of, put together in the order in which it depends on each other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from adapter_host import AdapterHost
from admission_coordinator import AdmissionCoordinator
from api_types import ApiError
from artifact_store import LocalArtifactStore
from narration_core import get_logger
from node_health_poller import NodeHealthPoller, NodePolled, PollResult, PollSettings
from orchestratord.access import Access
from orchestratord.clock import SteadyClock
from orchestratord.cloud.asking import Asking
from orchestratord.cloud.calls import NodeCalls
from orchestratord.cloud.checks import PoolChecks
from orchestratord.cloud.client import NodeClient
from orchestratord.cloud.demand import DemandCourier
from orchestratord.cloud.directory import ClusterDirectory
from orchestratord.cloud.disks import ClusterDisks
from orchestratord.cloud.feed import NodeFeed
from orchestratord.cloud.gauges import NodeGauges
from orchestratord.cloud.nodes import ClusterNodes, check_address
from orchestratord.cloud.pools import ClusterPools
from orchestratord.cloud.replicas import RelayedReplicas
from orchestratord.cloud.upkeep import Upkeep
from orchestratord.cloud.views import ClusterMachine, ClusterModels
from orchestratord.composed import (
    Composed,
    cluster_view,
    coordinator_settings,
    observing_tasks,
)
from orchestratord.config import Profile, Settings, file_url_path
from orchestratord.http.services import Services
from orchestratord.observing import HttpMetrics, PoolHealthMetrics, UpstreamMetrics
from service_registry import Refused, RegistryEvent, RegistrySettings, ServiceRegistry
from telemetry_core import Metrics, Program


@asynccontextmanager
async def running_cloud(settings: Settings, access: Access) -> AsyncIterator[Composed]:
    """Run everything but the HTTP server; on leaving, tasks end first."""
    now_ms = SteadyClock()
    metrics = Metrics(Program.ORCHESTRATORD)
    artifacts = LocalArtifactStore(file_url_path(settings.artifacts_url))
    upstream, pool_health = UpstreamMetrics(metrics), PoolHealthMetrics(metrics)
    host = AdapterHost(on_call=upstream.engine_called)
    cluster, calls = cluster_view(settings), NodeCalls()
    events = _Later()
    async with (
        ServiceRegistry.running(events, _registry_settings(settings)) as registry,
        NodeClient.running(
            access, on_outcome=registry.report_call_outcome, on_request=upstream.node_called
        ) as client,
        asyncio.TaskGroup() as group,
    ):
        directory = ClusterDirectory(registry.nodes, aliases=settings.model_aliases)
        checks = PoolChecks(pool_health, registry.get)
        asking = Asking(registry, client, checks)
        upkeep = Upkeep(registry, calls, asking, access, settings)
        replicas = RelayedReplicas(
            host,
            cluster,
            calls,
            on_outcome=registry.report_call_outcome,
            on_busy=upkeep.ask_soon,
            on_broken=upkeep.ask_now,
            now_ms=now_ms,
        )
        courier = DemandCourier(registry.get, client, max_wait_ms=settings.batch_max_wait_ms)
        async with (
            observing_tasks(settings, metrics, artifacts, now_ms) as observer,
            AdmissionCoordinator.running(
                coordinator_settings(settings),
                cluster=cluster,
                replicas=replicas,
                models=directory,
                observer=observer,
                now_ms=now_ms,
                demand=courier,
            ) as coordinator,
        ):
            feed = NodeFeed(
                cluster=cluster,
                host=host,
                directory=directory,
                access=access,
                changed=coordinator.cluster_changed,
            )
            events.to = feed.on_event
            pools = ClusterPools(registry, client, asking, calls, placement_knows=feed.caught_up)
            plaintext = settings.insecure_plaintext or settings.profile is Profile.HOME
            nodes = ClusterNodes(registry, pools, directory, plaintext=plaintext)
            gauges = NodeGauges(metrics, registry, upstream=upstream, pool_health=pool_health)
            machine = ClusterMachine(
                settings, registry, nodes, pools, client, descriptions=lambda: feed.descriptions
            )
            async with NodeHealthPoller.running(
                _poll_settings(settings),
                _Polls(registry, checks, upstream, plaintext=plaintext),
                token=access.token,
                tls=access.client_context,
                also=upkeep.unreachable,
            ):
                loops = [
                    group.create_task(feed.run(), name="node feed"),
                    group.create_task(courier.run(), name="demand"),
                    group.create_task(
                        upkeep.run(replicas.tell_breakers, feed.look_at_credentials), name="upkeep"
                    ),
                ]
                try:
                    yield Composed(
                        services=Services(
                            tasks=coordinator,
                            artifacts=artifacts,
                            pools=pools,
                            models=ClusterModels(registry),
                            disks=ClusterDisks(registry, nodes, client),
                            machine=machine,
                            observer=HttpMetrics(metrics, refresh=gauges.refresh),
                            nodes=nodes,
                            now_ms=now_ms,
                        ),
                        coordinator=coordinator,
                        machine=machine,
                    )
                finally:
                    machine.begin_shutdown()
                    await coordinator.shut_down(grace_ms=settings.shutdown_grace_ms)
                    for loop in loops:
                        loop.cancel()
    await host.close()


class _Later:
    """Passes events on to whoever is there by the time of the first."""

    def __init__(self) -> None:
        self.to: Callable[[RegistryEvent], None] = lambda _event: None

    def __call__(self, event: RegistryEvent) -> None:
        self.to(event)


_POLL = "poll"
"""The route of a poll, which is a question for the node and one for its pools."""


class _Polls:
    """What polls find out, told to the registry like any message of a node."""

    def __init__(
        self,
        registry: ServiceRegistry,
        checks: PoolChecks,
        upstream: UpstreamMetrics,
        *,
        plaintext: bool,
    ) -> None:
        self._registry = registry
        self._checks = checks
        self._upstream = upstream
        self._plaintext = plaintext
        self._log = get_logger(component="polls")

    def __call__(self, result: PollResult) -> None:
        if isinstance(result, NodePolled):
            try:
                check_address(result.node, plaintext=self._plaintext)
            except ApiError as error:
                self._log.warning("node_refused", url=result.url, reason=error.message)
                return
            node_id = result.node.node_id
            self._upstream.node_called(node_id, _POLL, "ok")
            self._checks.answered(node_id, result.pools, result.took_ms)
            refused = self._registry.polled(result.node, result.pools)
            if isinstance(refused, Refused):
                self._log.warning("node_refused", url=result.url, reason=refused.message)
            return
        if result.node_id is not None:
            self._upstream.node_called(result.node_id, _POLL, "unreachable")
            self._checks.unanswered(result.node_id)
            self._registry.report_call_outcome(result.node_id, False)
        if result.failures == 1:
            self._log.warning("node_unanswered", url=result.url, reason=result.reason)


def _registry_settings(settings: Settings) -> RegistrySettings:
    timeout_ms = settings.node_timeout_ms
    return RegistrySettings(
        heartbeat_interval_ms=min(10_000, timeout_ms // 3),
        timeout_ms=timeout_ms,
        forget_after_ms=max(600_000, 2 * timeout_ms),
    )


def _poll_settings(settings: Settings) -> PollSettings:
    return PollSettings(
        urls=settings.pool_managers,
        dns_name=settings.pool_managers_dns,
        dns_scheme="http" if settings.insecure_plaintext else "https",
        interval_ms=settings.pool_poll_interval_ms,
        absent_after_ms=settings.node_timeout_ms,
    )
