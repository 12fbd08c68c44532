"""The other ports of the HTTP shell, answered from memory."""

# ruff: noqa: ARG002 - a fake answers the same whatever it is asked

from api_types import (
    Capabilities,
    GpuList,
    Limits,
    ModelView,
    NodeView,
    PoolReadiness,
    PoolView,
    PurgeRequest,
    Readiness,
)
from artifact_store import ArtifactStore
from local_pool_manager import PoolBusy, PoolNotFound
from model_keeper.testing import RECITAL, FakeDisk
from node_types import NodeCapabilities, NodeStatus
from orchestratord.http import Services, Tasks
from pool_registry_types import HealthState


class FakePools:
    """One pool, `default`, ready until it is drained."""

    def __init__(self) -> None:
        self.draining = False
        self.deadline_ms: int | None = None
        self.new_model_ref: str | None = None
        self.purged: PurgeRequest | None = None

    async def settled(self) -> None:
        """Nothing is told to anybody."""

    def snapshots(self) -> tuple[PoolView, ...]:
        """Return the one pool."""
        return (self.snapshot("default"),)

    def snapshot(self, pool_id: str) -> PoolView:
        """Return it by name."""
        if pool_id not in ("default", "node:default"):
            raise PoolNotFound(f"there is no pool {pool_id}")
        return PoolView(
            pool_id="default",
            node_id="node",
            live=True,
            ready=not self.draining,
            draining=self.draining,
            slots_total=4,
            slots_free=4,
            active_leases=0,
            vram_total_bytes=0,
            vram_free_bytes=0,
            engine="llamacpp",
            model_id="recital",
            state=HealthState.DRAINING if self.draining else HealthState.READY,
        )

    async def drain(self, pool_id: str, deadline_ms: int) -> PoolView:
        """Note the drain."""
        self.snapshot(pool_id)
        self.draining, self.deadline_ms = True, deadline_ms
        return self.snapshot(pool_id)

    async def resume(self, pool_id: str) -> PoolView:
        """End it."""
        self.snapshot(pool_id)
        self.draining = False
        return self.snapshot(pool_id)

    async def reload(self, pool_id: str, new_model_ref: str) -> PoolView:
        """Note the wish; a second one finds the pool busy."""
        if self.new_model_ref is not None:
            raise PoolBusy("the model is being changed already")
        self.new_model_ref = new_model_ref
        return self.snapshot(pool_id)

    async def purge(self, pool_id: str, wish: PurgeRequest) -> PoolView:
        """Note the wish."""
        self.purged = wish
        return self.snapshot(pool_id)


class FakeModels:
    """One model, `recital`."""

    async def models(self) -> tuple[ModelView, ...]:
        """Return it."""
        return (RECITAL,)


class FakeMachine:
    """A machine without a GPU; ready when the test says so."""

    def __init__(self) -> None:
        self.ready = True

    async def gpus(self, node_id: str | None = None) -> GpuList:
        """Return none."""
        return GpuList(device_policy="cpu", reason="no driver")

    async def node(self, node_id: str | None = None) -> NodeView:
        """Return the machine."""
        return NodeView.model_validate(
            {
                "node_id": "node",
                "machine_id": "machine",
                "address": "http://127.0.0.1",
                "status": NodeStatus.ONLINE,
                "capabilities": NodeCapabilities(cpu_cores=1, ram_total_bytes=1),
                "version": "0.1.0",
                "incarnation": "00000000-0000-4000-8000-000000000000",
                "seq": 0,
            }
        )

    def capabilities(self) -> Capabilities:
        """Return no engine."""
        limits = Limits(
            max_body_bytes=1,
            admission_capacity=1,
            admission_policy="reject",
            queue_max_wait_ms=1,
            event_log_max_bytes=1,
            task_retention_ms=1,
            session_ttl_ms=1,
            session_max_turns=1,
        )
        return Capabilities(api_version="v2", profile="home", device_policy="cpu", limits=limits)

    def readiness(self) -> Readiness:
        """Say what the test wants."""
        pool = PoolReadiness(pool_id="default", ready=self.ready, state="ready")
        return Readiness(ready=self.ready, pools=(pool,))


class FakeObserver:
    """Remembers what was counted."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self.open_streams = 0

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        """Remember an answer."""
        self.requests.append((route, method, status))

    def task_admitted(self, duration_ms: float) -> None:
        """Remember nothing."""

    def stream_opened(self) -> None:
        """Count up."""
        self.open_streams += 1

    def stream_closed(self) -> None:
        """Count down."""
        self.open_streams -= 1

    def exposition(self) -> tuple[bytes, str]:
        """Expose nothing much."""
        return b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"


def fake_services(
    artifacts: ArtifactStore,
    tasks: Tasks,
    *,
    observer: FakeObserver,
    pools: FakePools,
    machine: FakeMachine,
    disk: FakeDisk,
) -> Services:
    """Put the fakes together."""
    return Services(
        tasks=tasks,
        artifacts=artifacts,
        pools=pools,
        models=FakeModels(),
        machine=machine,
        observer=observer,
        disks=disk,
        now_ms=lambda: 1_000,
    )
