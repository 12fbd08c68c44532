"""Heartbeats that say what the last one said, or nearly: the short cut and its limits."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api_types import ApiError, ErrorCode
from orchestrator_core import Constraint, Outcome
from orchestratord.access import Access
from orchestratord.cloud.reports import HeartbeatReader, Heartbeats
from service_discovery_types import NodeMessage, RegisterRequest
from service_registry import NodeLease, ServiceRegistry
from service_registry.testing import MadeUpNode, SetClock

from .conftest import cloud_settings
from .plane import Plane, ready

TASK = Constraint(model_id="tiny")


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    plane = Plane(Access(cloud_settings(tmp_path)))
    following = asyncio.create_task(plane.feed.run())
    yield plane
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_an_equal_heartbeat_renews_the_lease_and_goes_no_further(plane: Plane) -> None:
    node = MadeUpNode()
    await plane.know(node, ready())
    rounds = plane.rounds
    plane.clock.advance(10_000)
    plane.hear(node.heartbeat(ready()))
    await asyncio.sleep(0)
    lease = plane.registry.get("gpu-a")
    assert lease is not None
    assert (lease.heard_ms, lease.seq) == (plane.clock.now_ms, node.seq)
    assert plane.rounds == rounds


async def test_an_equal_heartbeat_brings_a_silent_node_back(plane: Plane) -> None:
    node = MadeUpNode()
    await plane.know(node, ready())
    plane.clock.advance(60_000)
    plane.registry.check_stale_nodes()
    assert plane.cluster.decide(TASK).outcome is not Outcome.PLACED
    plane.hear(node.heartbeat(ready()))
    await plane.feed.caught_up()
    assert plane.cluster.decide(TASK).outcome is Outcome.PLACED


async def test_an_equal_heartbeat_settles_whose_leases_a_node_counts(plane: Plane) -> None:
    node = MadeUpNode()
    await plane.know(node, ready())
    plane.cluster.release(plane.cluster.reserve(plane.cluster.decide(TASK)))
    free = []
    for _ in range(3):
        plane.hear(node.heartbeat(ready(busy=1)))
        await plane.feed.caught_up()
        free.append(plane.free())
    assert free == [4, 4, 3]  # Ours had gone before the first; that it stays is another's doing.


async def test_what_changes_in_one_pool_reaches_placement(plane: Plane) -> None:
    node = MadeUpNode()
    await plane.know(node, ready("chat"), ready("code"))
    rounds = plane.rounds
    plane.hear(node.heartbeat(ready("chat"), ready("code", busy=3)))
    assert plane.rounds == rounds  # At once: how busy an engine is asks for nothing else.
    assert (plane.free("chat"), plane.free("code")) == (4, 1)


async def test_what_else_than_load_changes_is_found_out_about(plane: Plane) -> None:
    node = MadeUpNode()
    await plane.know(node, ready("chat"), ready("code"))
    (engine,) = ready("chat").replicas
    asleep = engine.health.model_copy(update={"ready": False})
    for engines in (
        (engine.model_copy(update={"model_id": "other"}),),
        (engine.model_copy(update={"health": asleep}),),
        (engine.model_copy(update={"generation": 2}),),
        (engine, engine.model_copy(update={"replica_id": "r1"})),
        (),
    ):
        rounds = plane.rounds
        chat = ready("chat", busy=1).model_copy(update={"replicas": engines})
        plane.hear(node.heartbeat(chat, ready("code")))
        await plane.feed.caught_up()
        views = [view for view in plane.cluster.replicas() if view.key.pool_id == "chat"]
        assert plane.rounds > rounds
        assert [(view.model_id, view.generation) for view in views] == (
            [(each.model_id, each.generation) for each in engines] or [("tiny", 0)]
        )
    drained = ready("code").model_copy(update={"draining": True})
    plane.hear(node.heartbeat(ready("chat"), drained))
    await plane.feed.caught_up()
    assert {key.pool_id for key in plane.cluster.free_replicas("tiny")} == {"chat"}


async def test_a_pool_that_is_busier_in_a_node_that_drains_stays_closed(plane: Plane) -> None:
    node = MadeUpNode()
    await plane.know(node, ready())
    plane.registry.set_draining("gpu-a", True)
    await plane.feed.caught_up()
    plane.hear(node.heartbeat(ready(busy=1)))
    await plane.feed.caught_up()
    assert plane.cluster.decide(TASK).outcome is not Outcome.PLACED


async def test_an_equal_heartbeat_after_a_callback_takes_it_back(plane: Plane) -> None:
    node = MadeUpNode()
    await plane.know(node, ready())
    plane.registry.pool_ready(node.pool_ready(ready(busy=4)))
    await plane.feed.caught_up()
    assert plane.free() == 0
    plane.hear(node.heartbeat(ready()))
    await plane.feed.caught_up()
    assert plane.free() == 4


async def test_a_drain_and_a_failed_call_are_not_overlooked_behind_equal_heartbeats(
    plane: Plane,
) -> None:
    node = MadeUpNode()
    await plane.know(node, ready())
    for shut, opened in (
        (lambda: plane.registry.set_draining("gpu-a", True), _undrain),
        (lambda: plane.registry.report_call_outcome("gpu-a", False), _reached),
    ):
        shut()
        plane.hear(node.heartbeat(ready()))
        await plane.feed.caught_up()
        assert plane.cluster.decide(TASK).outcome is not Outcome.PLACED
        opened(plane)
        plane.hear(node.heartbeat(ready()))
        await plane.feed.caught_up()
        assert plane.cluster.decide(TASK).outcome is Outcome.PLACED


def _undrain(plane: Plane) -> None:
    plane.registry.set_draining("gpu-a", False)


def _reached(plane: Plane) -> None:
    plane.registry.report_call_outcome("gpu-a", True)


async def test_a_new_start_that_says_the_same_gets_new_adapters(plane: Plane) -> None:
    node = MadeUpNode()
    await plane.know(node, ready())
    again = node.restarted()
    plane.registry.register(again.register())
    assert plane.cluster.decide(TASK).outcome is not Outcome.PLACED
    plane.hear(again.heartbeat(ready()))
    await plane.feed.caught_up()
    assert plane.cluster.decide(TASK).outcome is Outcome.PLACED
    with pytest.raises(ApiError) as late:
        plane.hear(node.heartbeat(ready()))
    assert late.value.code == ErrorCode.STALE_INCARNATION


def _body(message: NodeMessage) -> bytes:
    return message.model_dump_json().encode()


async def test_engines_are_reached_anew_once_there_is_another_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("t" * 32)
    path.chmod(0o600)
    plane = Plane(Access(cloud_settings(tmp_path, api_token=None, api_token_file=path)))
    following = asyncio.create_task(plane.feed.run())
    await plane.know(MadeUpNode(), ready())
    rounds = plane.rounds
    plane.feed.look_at_credentials()
    assert plane.rounds == rounds
    path.write_text("a-new-token-of-another-length" * 2)
    plane.feed.look_at_credentials()
    await plane.feed.caught_up()
    assert [way.token for way in plane.ways] == ["t" * 32, "a-new-token-of-another-length" * 2]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


class Hearing:
    """A registry that has heard some messages of a node, as they came."""

    def __init__(self, *messages: NodeMessage) -> None:
        self.registry = ServiceRegistry(lambda _event: None, now_ms=SetClock())
        self.heartbeats = Heartbeats(self.registry)
        for message in messages:
            if isinstance(message, RegisterRequest):
                self.registry.register(message)
            else:
                self.hear(_body(message))

    def hear(self, body: bytes) -> str | None:
        """Take a message; why not, where it was refused."""
        try:
            self.heartbeats.hear("gpu-a", body)
        except ApiError as error:
            return error.message
        return None

    @property
    def lease(self) -> NodeLease:
        """What is known of the node now."""
        lease = self.registry.get("gpu-a")
        assert lease is not None
        return lease


def test_pools_of_which_the_text_is_the_same_are_not_read_again() -> None:
    node = MadeUpNode()
    hearing = Hearing(node.register(), node.heartbeat(ready("chat"), ready("code")))
    first = hearing.lease
    hearing.hear(_body(node.heartbeat(ready("chat"), ready("code"))))
    assert hearing.lease is first
    assert hearing.lease.seq == node.seq
    hearing.hear(_body(node.heartbeat(ready("chat", busy=1), ready("code"))))
    assert hearing.lease.pools == (ready("chat", busy=1), ready("code"))
    assert hearing.lease.pools[1] is first.pools[1]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"seq": -1},
        {"seq": 0},
        {"seq": 1.5},
        {"timestamp": -1},
        {"timestamp": "0"},
        {"incarnation": "no uuid"},
        {"incarnation": "00000000-0000-0000-0000-000000000000"},
        {"node_id": "No Id"},
        {"node_id": "gpu-b"},
        {"labels": {"Zone": 1}},
        {"models": [{"model_id": ""}]},
        {"pools": [{"pool_id": "chat"}]},
        {"pools": {}},
        {"seq": 2**70},
        {"favourite_colour": "green"},
        {"labels": {"zone": "b"}},
        {"models": [{"model_id": "tiny"}]},
        {"pools": []},
        {"pools": [ready("code").model_dump(mode="json")]},
        {"pools": [ready(busy=2).model_dump(mode="json"), ready("code").model_dump(mode="json")]},
    ],
    ids=str,
)
def test_what_is_compared_to_the_last_message_is_taken_as_if_it_were_the_first(
    change: dict[str, object],
) -> None:
    node = MadeUpNode()
    said = node.register(), node.heartbeat(ready())
    body = json.dumps({**json.loads(_body(node.heartbeat(ready()))), **change}).encode()
    known, fresh = Hearing(*said), Hearing(said[0])
    fresh.registry.heartbeat(said[1])
    assert known.hear(body) == fresh.hear(body)
    assert known.lease._replace(last=fresh.lease.last) == fresh.lease
    assert known.lease.seq == fresh.lease.seq


def test_a_reader_forgets_nodes_that_are_gone() -> None:
    here = {f"old-{number}" for number in range(1_100)}
    reader = HeartbeatReader(here.__contains__)
    node = MadeUpNode()
    lease = Hearing(node.register()).lease
    for generation in ("old", "new", "newer"):
        here.clear()
        here |= {f"{generation}-{number}" for number in range(1_100)}
        for node_id in here:
            reader.took(reader.read(_body(MadeUpNode(node_id).heartbeat())), lease)
    assert len(reader) <= 2_200
