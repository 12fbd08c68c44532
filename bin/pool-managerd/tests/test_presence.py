"""What control planes hear of a real node."""

import asyncio
import signal
from collections.abc import Callable

from demo_model import ENDLESS

from .control_planes import ControlPlane
from .daemons import TOKEN, Node

MakeNode = Callable[..., Node]


def has_ready_pool(message: dict) -> bool:
    return any(pool["ready"] for pool in message["pools"])


def has_draining_pool(message: dict) -> bool:
    return any(pool["draining"] for pool in message["pools"])


async def test_a_node_registers_reports_and_leaves(node: MakeNode) -> None:
    async with ControlPlane.running() as one, ControlPlane.running() as other:
        place = node(ENDLESS)
        place.environ |= {
            "POOL_MANAGERD_ORCHESTRATORD_URL": f"{one.url}, {other.url}",
            "POOL_MANAGERD_LABELS": "zone=a, region=north",
        }
        await asyncio.to_thread(place.start)
        for plane in (one, other):
            hello = await plane.hears("register")
            assert hello["node_id"] == "node-a"
            assert hello["pools"] == ["endless"]
            assert hello["address"] == place.url
            assert hello["labels"] == {"zone": "a", "region": "north"}
            # Long before the interval of ten seconds has passed.
            report = await plane.hears("heartbeat", has_ready_pool)
            assert report["incarnation"] == hello["incarnation"]
            assert report["seq"] > hello["seq"]
            assert [model["state"] for model in report["models"]] == ["Active"]
            called = await plane.hears("callback", lambda message: message["pool"]["ready"])
            assert called["pool"]["pool_id"] == "endless"
        status, _ = await asyncio.to_thread(place.call, "POST", "/v2/pools/endless/drain", {})
        assert status == 202
        await one.hears("heartbeat", has_draining_pool)
        place.tell(signal.SIGTERM)
        assert await asyncio.to_thread(place.wait) == 0
        for plane in (one, other):
            await plane.hears("deregister")
            assert {token for _, _, token in plane.heard} == {f"Bearer {TOKEN}"}
            seqs = [message["seq"] for _, message, _ in plane.heard]
            assert seqs == sorted(set(seqs))


async def test_a_control_plane_that_has_forgotten_a_node_meets_it_again(node: MakeNode) -> None:
    async with ControlPlane.running() as plane:
        plane.interval_ms = 100
        place = node()
        place.environ["POOL_MANAGERD_ORCHESTRATORD_URL"] = plane.url
        await asyncio.to_thread(place.start)
        first = await plane.hears("register")
        plane.known.clear()
        again = await plane.hears("register", lambda message: message["seq"] > first["seq"])
        assert again["incarnation"] == first["incarnation"]
