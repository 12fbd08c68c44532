"""Drains and reloads are measured to their end."""

import asyncio

import pytest

from local_pool_manager import ChangeOutcome
from multi_node_placement.testing import pool_report
from pool_managerd.node.course import PoolCourse
from pool_registry_types import PoolSnapshot


class Recording:
    """Stands where the metrics would."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []

    def drain_ended(self, pool_id: str, outcome: str, took_ms: float) -> None:
        self.told.append((pool_id, outcome, took_ms))

    reload_ended = drain_ended


class Scene:
    def __init__(self) -> None:
        self.now_ms, self.seen = 0, Recording()
        self.pool = pool_report()
        self.course = PoolCourse(self.seen, lambda _: self.pool, now_ms=lambda: self.now_ms)

    def later(self, pool: PoolSnapshot) -> None:
        self.now_ms += 500
        self.pool = pool
        self.course.look("p")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_drain_lasts_until_nothing_runs(scene: Scene) -> None:
    scene.course.drain_begun("p")
    scene.later(pool_report(draining=True, leases=1))
    scene.later(pool_report(draining=True))
    scene.later(pool_report())
    assert scene.seen.told == [("p", "emptied", 1_000)]


def test_a_drain_that_is_ended_before_says_so(scene: Scene) -> None:
    scene.course.drain_begun("p")
    scene.later(pool_report(leases=1))
    assert scene.seen.told == [("p", "resumed", 500)]


def test_a_drain_of_an_earlier_run_is_not_measured(scene: Scene) -> None:
    scene.later(pool_report(draining=True))
    assert scene.seen.told == []


@pytest.mark.parametrize(("error", "outcome"), [(None, "changed"), ("no", "rolled_back")])
async def test_a_reload_is_measured_to_its_end(scene: Scene, error, outcome: str) -> None:
    reload = asyncio.get_running_loop().create_future()
    scene.course.follow_reload("p", reload)
    scene.now_ms += 700
    reload.set_result(ChangeOutcome("m", error))
    await asyncio.sleep(0)
    assert scene.seen.told == [("p", outcome, 700)]
