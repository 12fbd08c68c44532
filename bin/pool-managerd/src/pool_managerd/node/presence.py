"""This node in the eyes of its control planes: who it is, and at once how its pools are."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from api_types import ApiError, ErrorCode
from gpu_discovery import GpuInventory, hardware
from heartbeat_reporter import HeartbeatEvent, HeartbeatReporter, HeartbeatSettings, NodeReport
from narration_core import get_logger
from node_registration import (
    NodeDescription,
    NodeRegistration,
    RegistrationEvent,
    RegistrationSettings,
)
from pool_managerd.config import Settings
from pool_managerd.node.access import Access
from pool_managerd.node.pools import NodePools
from pool_managerd.node.views import ModelReports
from pool_registry_types import PoolSnapshot
from program_config import BindAddress
from service_discovery_types import RegisterRequest

TOGETHER_S = 0.02
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


class Presence:
    """Registers, reports and says goodbye; `running` for as long as the node listens."""

    def __init__(
        self,
        settings: Settings,
        *,
        pools: NodePools,
        models: ModelReports,
        access: Access,
        inventory: Callable[[], GpuInventory],
    ) -> None:
        self._settings = settings
        self._pools = pools
        self._models = models
        self._access = access
        self._inventory = inventory
        self._address = ""
        self._registration: NodeRegistration | None = None
        self._wake = asyncio.Event()
        self._log = get_logger(component="presence")

    @asynccontextmanager
    async def running(self, listening: BindAddress) -> AsyncIterator[None]:
        """Keep every control plane informed; does not wait for any."""
        settings = self._settings
        self._address = settings.advertise_url or advertised(listening, tls=settings.has_tls)
        await self._models.refresh()
        async with (
            NodeRegistration.running(
                RegistrationSettings(
                    node_id=settings.node_id,
                    control_planes=settings.orchestratord_urls,
                    callback_url=settings.callback_url,
                ),
                self._describe,
                token=self._access.token,
                tls=self._access.client_context,
                on_event=self._tell,
            ) as registration,
            HeartbeatReporter.running(
                registration.links,
                self._report,
                HeartbeatSettings(interval_ms=settings.heartbeat_interval_ms),
                on_event=self._tell,
            ) as reporter,
            asyncio.TaskGroup() as tasks,
        ):
            self._registration = registration
            self._pools.subscribe(self._wake.set)
            following = tasks.create_task(self._follow(registration, reporter), name="presence")
            try:
                yield
            finally:
                following.cancel()

    def register_request(self) -> RegisterRequest:
        """Return what this node registers with. Raises ApiError in the first moments."""
        if self._registration is None:
            raise ApiError(ErrorCode.NODE_UNAVAILABLE, "this node is just starting")
        return self._registration.register_request()

    def call_back(self, url: str) -> None:
        """Tell this control plane as well when a pool becomes ready or ceases to be."""
        if self._registration is not None:
            self._registration.set_callback_url(url)

    async def say_goodbye(self, reason: str) -> None:
        """Deregister everywhere, in bounded time."""
        if self._registration is not None:
            await self._registration.deregister(reason)

    def models_changed(self) -> None:
        """Report soon what models there are: whoever has just brought one wants to use it."""
        self._wake.set()

    async def _follow(self, registration: NodeRegistration, reporter: HeartbeatReporter) -> None:
        """Report at once what matters for placement; what leases change, the heartbeats tell."""
        known: dict[str, tuple[object, ...]] = {}
        models = self._models.reports
        while True:
            self._wake.clear()
            snapshots = self._pools.snapshots()
            now = {pool.pool_id: _weight(pool) for pool in snapshots}
            if now != known:
                await self._models.refresh()
            if now != known or models != self._models.reports:
                changed = [pool for pool in snapshots if known.get(pool.pool_id) != _weight(pool)]
                known, models = now, self._models.reports
                reporter.report_now()
                for pool in changed:
                    await registration.pool_ready(pool)
            try:
                async with asyncio.timeout(self._settings.heartbeat_interval_ms / 1000):
                    await self._wake.wait()
                # A drain and a swap are many changes: those that come together are looked at once.
                await asyncio.sleep(TOGETHER_S)
            except TimeoutError:
                await self._models.refresh()
                self._access.renew()

    def _describe(self) -> NodeDescription:
        settings = self._settings
        return NodeDescription(
            machine_id=settings.machine_id,
            address=self._address,
            capabilities=hardware(self._inventory()),
            version=version("pool-managerd"),
            pools=tuple(pool.pool_id for pool in self._pools.snapshots()),
            models=self._models.reports,
            labels=settings.labels,
        )

    def _report(self) -> NodeReport:
        return NodeReport(self._pools.snapshots(), self._models.reports)

    def _tell(self, event: RegistrationEvent | HeartbeatEvent) -> None:
        self._log.info("control_plane", detail=repr(event), peer=event.url)


def advertised(listening: BindAddress, *, tls: bool) -> str:
    """Return the URL under which others reach an address that this node listens at."""
    wildcard = listening.host in _WILDCARDS
    host = BindAddress(socket.gethostname() if wildcard else listening.host, listening.port)
    return f"{'https' if tls else 'http'}://{host}"


def _weight(pool: PoolSnapshot) -> tuple[object, ...]:
    """Return what a control plane should not have to wait for."""
    replicas = tuple(
        (replica.replica_id, replica.health.ready, replica.generation) for replica in pool.replicas
    )
    failed = frozenset(failure.model_id for failure in pool.load_failures)
    return (
        *(pool.ready, pool.draining, pool.state, pool.model_id, replicas),
        *(pool.loadable_models, failed, _progress(pool)),
    )


def _progress(pool: PoolSnapshot) -> tuple[str, int] | None:
    """Return how far a change of model is, in steps that are worth a word."""
    change = pool.change
    if change is None:
        return None
    return change.phase, 8 * (change.bytes_done or 0) // max(1, change.bytes_total or 0)
