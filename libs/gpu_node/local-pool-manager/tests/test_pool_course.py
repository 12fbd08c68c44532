"""Drains and reloads are measured to their end, restarts counted."""

import asyncio

import pytest

from local_pool_manager import ChangeOutcome, PoolCourse
from pool_registry_types import HealthState, HealthStatus, PoolSnapshot, ReplicaSnapshot


def pool_report(*, draining: bool = False, leases: int = 0, restarts: int = 0) -> PoolSnapshot:
    replica = ReplicaSnapshot(
        replica_id="r0",
        health=HealthStatus(state=HealthState.READY, live=True, ready=True),
        slots_total=2,
        slots_free=2 - leases,
        active_leases=leases,
        restarts=restarts,
    )
    return PoolSnapshot(
        pool_id="p",
        live=True,
        ready=not draining,
        draining=draining,
        slots_total=2,
        slots_free=2 - leases,
        active_leases=leases,
        vram_total_bytes=0,
        vram_free_bytes=0,
        engine="llamacpp",
        state=HealthState.READY,
        replicas=(replica,),
    )


class Recording:
    """Stands where the metrics would."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []

    def drain_ended(self, pool_id: str, outcome: str, took_ms: float) -> None:
        self.told.append((pool_id, outcome, took_ms))

    reload_ended = drain_ended

    def engines_restarted(self, pool_id: str, cause: str, count: int) -> None:
        self.told.append((pool_id, cause, count))


class Scene:
    def __init__(self) -> None:
        self.now_ms, self.seen = 0, Recording()
        self.look_from(pool_report())

    def look_from(self, known: PoolSnapshot) -> None:
        self.pool = known
        self.course = PoolCourse(
            self.seen, lambda _: self.pool, known=[known], now_ms=lambda: self.now_ms
        )

    def later(self, pool: PoolSnapshot) -> None:
        self.now_ms += 500
        self.pool = pool
        self.course.look("p")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_drain_lasts_until_nothing_runs(scene: Scene) -> None:
    scene.later(pool_report(draining=True, leases=1))
    scene.later(pool_report(draining=True, leases=1))
    scene.later(pool_report(draining=True))
    scene.later(pool_report())
    assert scene.seen.told == [("p", "emptied", 1_000)]


def test_a_drain_that_is_ended_before_says_so(scene: Scene) -> None:
    scene.later(pool_report(draining=True, leases=1))
    scene.later(pool_report(leases=1))
    assert scene.seen.told == [("p", "resumed", 500)]


def test_a_drain_of_an_earlier_run_is_not_measured(scene: Scene) -> None:
    scene.look_from(pool_report(draining=True, leases=1))
    scene.later(pool_report(draining=True))
    assert scene.seen.told == []


@pytest.mark.parametrize(("error", "outcome"), [(None, "changed"), ("no", "rolled_back")])
async def test_a_reload_is_measured_to_its_end(scene: Scene, error, outcome: str) -> None:
    reload = asyncio.get_running_loop().create_future()
    scene.course.follow_reload("p", "file:/m.gguf", reload)
    scene.now_ms += 700
    reload.set_result(ChangeOutcome("m", error))
    await asyncio.sleep(0)
    assert scene.seen.told == [("p", outcome, 700)]


def test_restarts_are_counted_since_the_pool_was_known(scene: Scene) -> None:
    scene.look_from(pool_report(restarts=2))
    scene.later(pool_report(restarts=2))
    scene.later(pool_report(restarts=5))
    assert scene.seen.told == [("p", "engine_lost", 3)]
