"""A coordinator over a real cluster view and scripted engines."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from admission_coordinator import (
    AdmissionCoordinator,
    CoordinatorSettings,
    DemandSink,
    ModelChoice,
    Task,
)
from admission_coordinator.testing import (
    FakeModels,
    FakeReplicas,
    Frame,
    RecordingObserver,
    read_all,
)
from api_types import TaskRequest
from mock_adapter import MockAdapter
from multi_node_placement import ClusterView, PrefixScorer
from orchestrator_core import ReplicaKey
from pool_registry_types import HealthState, HealthStatus, PoolSnapshot, ReplicaSnapshot

NODE = "home"


class FakeClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def snapshot(
    pool_id: str,
    *,
    slots: int,
    state: HealthState = HealthState.READY,
    model_id: str | None = "demo",
    generation: int = 1,
    draining: bool = False,
) -> PoolSnapshot:
    ready = state is HealthState.READY and not draining
    health = HealthStatus(
        state=state, live=True, ready=state is HealthState.READY, draining=draining
    )
    replica = ReplicaSnapshot(
        replica_id="r0",
        health=health,
        slots_total=slots,
        slots_free=slots,
        model_id=model_id,
        ctx_max=4096,
        generation=generation,
    )
    return PoolSnapshot(
        pool_id=pool_id,
        live=True,
        ready=ready,
        draining=draining,
        slots_total=slots,
        slots_free=slots if ready else 0,
        active_leases=0,
        vram_total_bytes=0,
        vram_free_bytes=0,
        engine="mock",
        model_id=model_id,
        state=state,
        replicas=(replica,),
    )


@dataclass
class World:
    """All that a test touches."""

    coordinator: AdmissionCoordinator
    cluster: ClusterView
    replicas: FakeReplicas
    observer: RecordingObserver
    clock: FakeClock
    pools: dict[str, PoolSnapshot]

    def engine(self, pool_id: str = "pool-a") -> MockAdapter:
        adapter = self.replicas.adapters[ReplicaKey(NODE, pool_id, "r0")]
        assert isinstance(adapter, MockAdapter)
        return adapter

    snapshot = staticmethod(snapshot)

    def report(self, *pools: PoolSnapshot) -> None:
        self.pools.update({pool.pool_id: pool for pool in pools})
        loadable = {pool.pool_id: pool.loadable_models for pool in self.pools.values()}
        self.cluster.apply_report(NODE, self.pools.values(), loadable=loadable)
        self.coordinator.cluster_changed()

    def submit(self, prompt: str = "one two three", *, identity: str = "me", **fields: Any) -> Task:
        request = TaskRequest.model_validate({"prompt": prompt, **fields})
        return self.coordinator.submit(
            request, identity=identity, correlation_id="c-1", size_bytes=len(prompt)
        ).task

    async def frames(self, task: Task, **options: Any) -> list[Frame]:
        cursor = self.coordinator.open_stream(task.task_id, identity=task.identity, **options)
        assert cursor is not None
        return await read_all(cursor)


Worlds = Callable[..., AbstractAsyncContextManager[World]]


@asynccontextmanager
async def world(
    pools: dict[str, int] | None = None,
    *,
    begins: bool = False,
    scorer: PrefixScorer | None = None,
    demand: DemandSink | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """A world of these slots by pool id, whose engines begin runs or are awaited."""
    slots = pools or {"pool-a": 1}
    adapters = {
        ReplicaKey(NODE, pool_id, "r0"): MockAdapter(slots=n) for pool_id, n in slots.items()
    }
    for adapter in adapters.values():
        adapter.begins = begins
    replicas, observer, clock = FakeReplicas(adapters), RecordingObserver(), FakeClock()
    cluster = ClusterView(scorer=scorer)
    snapshots = {pool_id: snapshot(pool_id, slots=n) for pool_id, n in slots.items()}
    cluster.apply_report(NODE, snapshots.values())
    async with AdmissionCoordinator.running(
        CoordinatorSettings(**{"stop_timeout_ms": 50, "position_interval_ms": 1, **settings}),
        cluster=cluster,
        replicas=replicas,
        models=FakeModels(
            ModelChoice(model_id="demo", ctx_max=4096), ModelChoice(model_id="absent")
        ),
        observer=observer,
        now_ms=clock,
        demand=demand,
    ) as coordinator:
        yield World(coordinator, cluster, replicas, observer, clock, snapshots)


@pytest.fixture(params=[False, True], ids=["run", "begin"])
def world_of(request: pytest.FixtureRequest) -> Worlds:
    """Build a world: pool id → slots, and coordinator settings; with both kinds of engines."""
    return partial(world, begins=request.param)
