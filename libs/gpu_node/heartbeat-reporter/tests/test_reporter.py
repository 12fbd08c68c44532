import asyncio
from contextlib import asynccontextmanager

import pytest

from heartbeat_reporter import (
    HeartbeatReporter,
    HeartbeatsHeard,
    HeartbeatsLost,
    NodeReport,
    pause,
)
from heartbeat_reporter.testing import FakeControlPlane, HeldPauses
from pool_registry_types import ModelReport


@pytest.fixture
def pauses():
    return HeldPauses()


@pytest.fixture
def events():
    return []


class Node:
    """A node whose report a test may change."""

    def __init__(self):
        self.report = NodeReport(models=(ModelReport(model_id="tiny"),))
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.report


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def reporting(node, pauses, events):
    @asynccontextmanager
    async def run(*planes):
        async with HeartbeatReporter.running(
            planes,
            node,
            on_event=events.append,
            chance=lambda: 0.5,
            wait=pauses,
            now_ms=lambda: 123,
        ) as reporter:
            yield reporter

    return run


async def test_the_first_heartbeat_is_sent_at_once_and_says_how_the_node_is(
    reporting, node, events, pauses
):
    plane = FakeControlPlane()
    async with reporting(plane):
        heard = await plane.next_heartbeat()
        await pauses.begun()
    assert (heard.models, heard.timestamp_ms) == (node.report.models, 123)
    assert events == [HeartbeatsHeard(plane.url, 0)]


async def test_the_answer_sets_the_interval(reporting, pauses):
    plane = FakeControlPlane(interval_ms=3_000)
    async with reporting(plane):
        assert await pauses.begun() == 3.0
        plane.interval_ms = 20_000
        pauses.end()
        assert await pauses.begun() == 20.0


async def test_nothing_is_said_before_the_node_is_registered(reporting, node, pauses):
    plane = FakeControlPlane()
    plane.forget()
    async with reporting(plane):
        await asyncio.sleep(0)
        assert node.asked == 0
        plane.remember()
        await plane.next_heartbeat()


async def test_a_change_is_said_at_once(reporting, node, pauses):
    plane = FakeControlPlane()
    async with reporting(plane) as reporter:
        await plane.next_heartbeat()
        await pauses.begun()
        node.report = NodeReport()
        reporter.report_now()
        assert (await plane.next_heartbeat()).models == ()


async def test_changes_while_a_heartbeat_is_underway_share_the_one_after_it(
    reporting, node, pauses
):
    plane = FakeControlPlane()
    released = plane.hold()
    async with reporting(plane) as reporter:
        await plane.next_heartbeat()
        for _ in range(3):
            reporter.report_now()
        released.set()
        await pauses.begun()
        await plane.next_heartbeat()
        await pauses.begun()
        assert node.asked == 2


async def test_a_lost_heartbeat_is_repeated_soon_and_told_once(reporting, events, pauses):
    plane = FakeControlPlane()
    plane.lose(3)
    async with reporting(plane):
        for seconds in (0.5, 1.0, 2.0):
            assert await pauses.begun() == seconds
            pauses.end()
        assert await pauses.begun() == 10.0
    assert events == [HeartbeatsLost(plane.url), HeartbeatsHeard(plane.url, 3)]


async def test_a_control_plane_that_has_forgotten_the_node_hears_it_as_soon_as_it_knows_it_again(
    reporting, pauses
):
    plane = FakeControlPlane()
    async with reporting(plane):
        await plane.next_heartbeat()
        await pauses.begun()
        plane.forget_at_next()
        pauses.end()
        await plane.next_heartbeat()
        plane.remember()
        await plane.next_heartbeat()
        assert await pauses.begun() == 10.0


async def test_a_control_plane_that_hangs_delays_no_other(reporting, pauses):
    hanging, lively = FakeControlPlane("http://hanging"), FakeControlPlane("http://lively")
    hanging.hold()
    async with reporting(hanging, lively) as reporter:
        await hanging.next_heartbeat()
        for _ in range(3):
            await lively.next_heartbeat()
            await pauses.begun()
            reporter.report_now()


async def test_a_report_that_cannot_be_made_ends_the_reporter_loudly(pauses):
    def broken():
        raise RuntimeError("no report")

    async def run():
        async with HeartbeatReporter.running([FakeControlPlane()], broken, wait=pauses):
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await run()


async def test_a_pause_ends_with_its_time_or_when_it_is_woken():
    wake = asyncio.Event()
    await pause(wake, 0.001)
    assert not wake.is_set()
    wake.set()
    await pause(wake, 3_600)
