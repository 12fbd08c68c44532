import asyncio
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_registration import (
    Forgotten,
    LinkState,
    NotRegistered,
    RefusalCode,
    Refused,
    Registered,
    RegistrationSettings,
    Unreachable,
)
from node_registration.link import TRANSITIONS, LinkStimulus, backoff_s
from node_registration.testing import ScriptedControlPlane
from service_discovery_types import DeregisterRequest, HeartbeatRequest, RegisterRequest

DOWN = Unreachable("connection refused")
UNKNOWN = Refused(RefusalCode.NODE_UNKNOWN, "who are you")
STALE = Refused(RefusalCode.STALE_INCARNATION, "old news")
CONFLICT = Refused(RefusalCode.NODE_ID_CONFLICT, "gpu-a is online elsewhere")


async def test_a_node_registers_with_all_that_it_is(linked, events):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        message = await plane.next_message()
    assert isinstance(message, RegisterRequest)
    assert (message.node_id, message.seq, message.labels) == ("gpu-a", 1, {"zone": "a"})
    assert events == [Registered(plane.url)]


async def test_registering_is_tried_for_ever_with_capped_pauses(linked, events, pauses):
    plane = ScriptedControlPlane(*[DOWN] * 12)
    seconds = []
    async with linked(plane) as link:
        for _ in range(12):
            seconds.append(await pauses.begun())
            pauses.end()
        await link.registered()
    assert seconds == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30]
    assert events == [NotRegistered(plane.url, DOWN), Registered(plane.url)]


async def test_a_failure_is_told_again_when_its_reason_is_another(linked, events, pauses):
    plane = ScriptedControlPlane(DOWN, DOWN, CONFLICT, CONFLICT, DOWN)
    async with linked(plane) as link:
        for _ in range(5):
            await pauses.begun()
            pauses.end()
        await link.registered()
    told = [event.failure for event in events if isinstance(event, NotRegistered)]
    assert told == [DOWN, CONFLICT, DOWN]


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_a_pause_is_jittered_and_never_longer_than_its_cap(failures, chance):
    settings = RegistrationSettings(node_id="gpu-a", control_planes=())
    seconds = backoff_s(settings, failures, chance)
    assert 0.25 <= seconds <= 30
    assert backoff_s(settings, failures, 0.0) * 2 == backoff_s(settings, failures, 1.0)


async def test_a_forgotten_node_registers_again_at_once(linked, events):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        plane.then(UNKNOWN)
        assert await link.heartbeat((), (), timestamp_ms=0) is None
        assert not link.is_registered
        await link.registered()
    names = [type(message).__name__ for message in plane.messages]
    assert names == ["RegisterRequest", "HeartbeatRequest", "RegisterRequest"]
    assert events == [Registered(plane.url), Forgotten(plane.url), Registered(plane.url)]


async def test_one_that_forgets_again_and_again_is_not_flooded(linked, pauses):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        plane.then(UNKNOWN)
        await link.heartbeat((), (), timestamp_ms=0)
        await link.registered()
        plane.then(UNKNOWN)
        await link.heartbeat((), (), timestamp_ms=0)
        assert await pauses.begun() == 0.5
        assert not link.is_registered
        pauses.end()
        await link.registered()


async def test_each_message_has_a_higher_number_than_the_one_before(linked, pool):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        await link.heartbeat((pool,), (), timestamp_ms=0)
        await link.pool_ready(pool)
        await link.deregister("update")
    assert [message.seq for message in plane.messages] == [1, 2, 3, 4]
    assert len({message.incarnation for message in plane.messages}) == 1


async def test_no_message_overtakes_one_that_is_underway(linked, pool):
    plane = ScriptedControlPlane()
    answered = asyncio.Event()
    async with linked(plane) as link, asyncio.TaskGroup() as tasks:
        await link.registered()
        await plane.next_message()
        plane.then(answered)
        tasks.create_task(link.heartbeat((pool,), (), timestamp_ms=0))
        first = await plane.next_message()
        tasks.create_task(link.pool_ready(pool))
        assert plane.messages[-1] is first
        answered.set()
        assert (await plane.next_message()).seq == first.seq + 1


async def test_a_message_that_another_channel_has_overtaken_is_said_anew(linked, events):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        plane.then(STALE)
        assert await link.heartbeat((), (), timestamp_ms=0) is not None
        assert link.is_registered
    assert [message.seq for message in plane.messages] == [1, 2, 3]
    assert events == [Registered(plane.url)]


async def test_a_node_that_was_replaced_by_a_newer_start_says_so(linked, events, pauses):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        plane.then(STALE, STALE, STALE)
        assert await link.heartbeat((), (), timestamp_ms=0) is None
        await pauses.begun()
        assert not link.is_registered
    assert events == [Registered(plane.url), NotRegistered(plane.url, STALE)]


async def test_a_heartbeat_that_is_not_heard_leaves_the_node_registered(linked):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        plane.then(DOWN)
        assert await link.heartbeat((), (), timestamp_ms=0) is None
        assert link.is_registered


async def test_nothing_is_said_to_one_that_does_not_know_us(linked, pauses, pool):
    plane = ScriptedControlPlane(DOWN)
    async with linked(plane) as link:
        await pauses.begun()
        assert await link.heartbeat((), (), timestamp_ms=0) is None
        assert not await link.pool_ready(pool)
    assert [type(message) for message in plane.messages] == [RegisterRequest]


async def test_after_the_farewell_nothing_is_said_any_more(linked, pool):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        assert await link.deregister("update")
        assert await link.heartbeat((), (), timestamp_ms=0) is None
        assert not await link.pool_ready(pool)
        assert not await link.deregister("twice")
        assert link.state is LinkState.LEFT
    assert isinstance(plane.messages[-1], DeregisterRequest)
    assert plane.messages[-1].reason == "update"


async def test_a_registration_that_is_underway_does_not_outlive_the_farewell(linked, events):
    answered = asyncio.Event()
    plane = ScriptedControlPlane(answered)
    async with linked(plane) as link, asyncio.TaskGroup() as tasks:
        await plane.next_message()
        farewell = tasks.create_task(link.deregister(None))
        while link.state is not LinkState.LEFT:
            await asyncio.sleep(0)
        answered.set()
        assert await farewell
    assert link.state is LinkState.LEFT
    assert events == []
    assert [type(message).__name__ for message in plane.messages][-1] == "DeregisterRequest"


async def test_labels_and_clock_of_the_node_are_in_its_heartbeat(linked, pool):
    plane = ScriptedControlPlane()
    async with linked(plane) as link:
        await link.registered()
        answer = await link.heartbeat((pool,), (), timestamp_ms=123)
        message = plane.messages[-1]
    assert answer.next_heartbeat_ms == 7_000
    assert isinstance(message, HeartbeatRequest)
    assert (message.timestamp, message.labels, message.pools) == (123, {"zone": "a"}, (pool,))


@pytest.mark.parametrize("stimulus", list(LinkStimulus))
def test_nothing_moves_a_link_that_has_left(stimulus):
    assert (LinkState.LEFT, stimulus) not in TRANSITIONS


def test_the_readme_shows_the_table_of_the_code():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme.split("## The state of a link")[1].split("##")[0]
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \|$", section, re.MULTILINE)
    assert rows[1:] == [(state, stimulus, to) for (state, stimulus), to in TRANSITIONS.items()]
