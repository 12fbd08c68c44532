"""What nodes say, what is made of it, and what is asked of them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from api_types import PoolView
from orchestratord.config import Settings
from orchestratord.testing import MODEL, ControlPlane, ScriptedNode

from .conftest import KEY, SPEECH, TOKEN, cloud_settings, said

StartNode = Callable[..., Awaitable[ScriptedNode]]


async def test_a_registered_node_that_has_reported_serves(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    await cloud.welcome(node)
    frames = await cloud.run(model_ref=MODEL)
    assert said(frames) == SPEECH
    (claim,) = node.claims
    assert claim == f"{frames[0][1]['task_id']}/1"
    assert node.credentials == {f"Bearer {TOKEN}"}


async def test_a_registered_node_that_has_not_reported_gets_no_task(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    await cloud.say("POST", "/v2/nodes/register", node.messages.register())
    standing = (await cloud.nodes())["gpu-a"]
    assert (standing["status"], standing["placeable"]) == ("registering", False)
    answer = await cloud.ask("POST", "/v2/tasks", {"prompt": "x"}, credential=KEY)
    assert (answer.status, answer.json()["code"]) == (503, "MODEL_NOT_AVAILABLE")


async def test_all_that_a_node_says_goes_the_short_way_on_one_connection(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for path, message in (
            ("/v2/nodes/register", node.messages.register()),
            ("/v2/nodes/gpu-a/heartbeat", node.messages.heartbeat(node.pool())),
            ("/v2/callbacks/pool-ready", node.messages.pool_ready(node.pool())),
            ("/v2/nodes/gpu-a/heartbeat", node.messages.heartbeat(node.pool())),
        ):
            async with session.post(
                cloud.url + path, json=message.model_dump(mode="json"), headers=headers
            ) as answer:
                assert answer.status == 200
                # aiohttp names itself, and then keeps the connection.
                assert "Server" not in answer.headers, path


async def test_a_message_of_an_unknown_node_makes_it_register(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    answer = await cloud.say(
        "POST", "/v2/nodes/gpu-a/heartbeat", node.messages.heartbeat(node.pool())
    )
    assert (answer.status, answer.json()["code"]) == (404, "NODE_UNKNOWN")


async def test_a_late_message_of_an_older_start_changes_nothing(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    await cloud.welcome(node)
    before = node.messages
    node.messages = before.restarted()
    await cloud.welcome(node)
    late = await cloud.say("POST", "/v2/nodes/gpu-a/heartbeat", before.heartbeat())
    assert (late.status, late.json()["code"]) == (409, "STALE_INCARNATION")
    gone = await cloud.say("DELETE", "/v2/nodes/gpu-a", before.deregister())
    assert gone.status == 409
    assert said(await cloud.run(model_ref=MODEL)) == SPEECH


async def test_the_id_of_a_living_node_is_not_given_twice(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    await cloud.welcome(await start_node())
    other = await start_node()
    answer = await cloud.say("POST", "/v2/nodes/register", other.messages.register())
    assert (answer.status, answer.json()["code"]) == (409, "NODE_ID_CONFLICT")
    assert "POOL_MANAGERD_NODE_ID" in answer.json()["message"]


async def test_the_sender_must_be_whom_the_path_names(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    await cloud.welcome(node)
    answer = await cloud.say("POST", "/v2/nodes/gpu-b/heartbeat", node.messages.heartbeat())
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_PARAMS")


@pytest.mark.parametrize("path", ["/v2/callbacks/pool-ready", "/callbacks/pool-ready"])
async def test_a_callback_says_what_the_next_heartbeat_would(
    cloud: ControlPlane, start_node: StartNode, path: str
) -> None:
    node = await start_node()
    node.draining = True
    await cloud.welcome(node)
    node.draining = False
    told = await cloud.say("POST", path, node.messages.pool_ready(node.pool()))
    assert told.json() == {"success": True}
    assert said(await cloud.run(model_ref=MODEL)) == SPEECH


async def test_a_field_of_a_newer_version_is_no_mistake(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    message = {**node.messages.register().model_dump(mode="json"), "favourite_colour": "green"}
    assert (await cloud.say("POST", "/v2/nodes/register", message)).status == 200


async def test_a_node_that_leaves_is_gone(cloud: ControlPlane, start_node: StartNode) -> None:
    node = await start_node()
    await cloud.welcome(node)
    await cloud.say("DELETE", "/v2/nodes/gpu-a", node.messages.deregister())
    assert await cloud.nodes() == {}
    answer = await cloud.ask("POST", "/v2/tasks", {"prompt": "x"}, credential=KEY)
    assert (answer.status, answer.json()["code"]) == (503, "MODEL_NOT_AVAILABLE")


async def test_an_operator_removes_a_node_and_one_that_lives_registers_again(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    await cloud.welcome(node)
    refused = await cloud.ask("DELETE", "/v2/nodes/gpu-a", credential=KEY)
    assert (refused.status, refused.json()["code"]) == (403, "FORBIDDEN")
    removed = await cloud.say("DELETE", "/v2/nodes/gpu-a")
    assert (removed.status, removed.json()) == (200, {"success": True})
    assert await cloud.nodes() == {}
    assert (await cloud.get("/v2/catalog/availability"))["models"] == []
    again = await cloud.say("DELETE", "/v2/nodes/gpu-a")
    assert (again.status, again.json()["code"]) == (404, "NODE_UNKNOWN")
    late = await cloud.say("POST", "/v2/nodes/gpu-a/heartbeat", node.messages.heartbeat())
    assert (late.status, late.json()["code"]) == (404, "NODE_UNKNOWN")
    await cloud.welcome(node)
    assert said(await cloud.run(model_ref=MODEL)) == SPEECH


async def test_frames_name_a_pool_as_the_list_of_pools_does(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    await cloud.welcome(await start_node())
    frames = await cloud.run(model_ref=MODEL)
    assert frames[0][1]["pool_id"] == frames[-1][1]["pool_id"] == "gpu-a:chat"
    placement = (await cloud.get(f"/v2/tasks/{frames[0][1]['task_id']}"))["placement"]
    assert (placement["node_id"], placement["pool_id"]) == ("gpu-a", "chat")
    shown = (await cloud.ask("GET", "/metrics")).body.decode()
    assert 'orchd_tasks_finished_total{outcome="finished",pool_id="gpu-a:chat"} 1.0' in shown


async def test_pools_are_named_with_their_nodes_and_bare_where_that_is_enough(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    await cloud.welcome(await start_node("gpu-a"))
    assert (await cloud.get("/v2/pools/chat/status"))["pool_id"] == "gpu-a:chat"
    await cloud.welcome(await start_node("gpu-b"))
    listed = (await cloud.get("/v2/pools"))["pools"]
    assert [pool["pool_id"] for pool in listed] == ["gpu-a:chat", "gpu-b:chat"]
    assert PoolView.model_validate(listed[0]).node_id == "gpu-a"
    assert (await cloud.get("/v2/pools/gpu-b:chat/health"))["node_id"] == "gpu-b"
    answer = await cloud.ask("GET", "/v2/pools/chat/status", credential=KEY)
    assert (answer.status, answer.json()["code"]) == (409, "AMBIGUOUS_POOL")
    assert answer.json()["candidates"] == ["gpu-a:chat", "gpu-b:chat"]
    answer = await cloud.ask("GET", "/v2/pools/gpu-c:chat/status", credential=KEY)
    assert (answer.status, answer.json()["code"]) == (404, "POOL_NOT_FOUND")


async def test_a_pool_is_drained_and_resumed_where_it_is(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    await cloud.welcome(node)
    path = "/v2/pools/chat"
    answer = await cloud.ask("POST", f"{path}/drain", {"deadline_ms": 5000}, credential=KEY)
    assert (answer.status, answer.json()["draining"]) == (202, True)
    assert (node.draining, node.drain_deadline_ms) == (True, 5500)
    answer = await cloud.ask("POST", f"{path}/resume", credential=KEY)
    assert (answer.status, answer.json()["draining"]) == (200, False)
    assert not node.draining


async def test_a_drained_node_takes_nothing_until_it_is_resumed(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    nodes = [await start_node("gpu-a"), await start_node("gpu-b")]
    for node in nodes:
        await cloud.welcome(node)
    answer = await cloud.say("POST", "/v2/nodes/gpu-a/drain", {"deadline_ms": 1000})
    assert (answer.status, answer.json()["status"]) == (202, "draining")
    await asyncio.gather(*(cloud.run(model_ref=MODEL) for _ in range(4)))
    assert [len(node.claims) for node in nodes] == [0, 4]
    resumed = (await cloud.say("POST", "/v2/nodes/gpu-a/resume")).json()
    assert not nodes[0].draining
    assert resumed["placeable"]
    await cloud.report(nodes[0])
    await asyncio.gather(*(cloud.run(model_ref=MODEL) for _ in range(4)))
    assert len(nodes[0].claims) == 2


async def test_a_drain_that_the_node_does_not_hear_keeps_tasks_away_all_the_same(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    node.messages.address = "http://127.0.0.1:9"
    await cloud.welcome(node)
    answer = await cloud.say("POST", "/v2/nodes/gpu-a/drain")
    assert (answer.status, answer.json()["code"]) == (503, "NODE_UNAVAILABLE")
    standing = (await cloud.nodes())["gpu-a"]
    assert (standing["status"], standing["reachable"]) == ("draining", False)


async def test_models_are_found_on_their_nodes(cloud: ControlPlane, start_node: StartNode) -> None:
    await cloud.welcome(await start_node("gpu-a"))
    await cloud.welcome(await start_node("gpu-b"))
    found = await cloud.get("/v2/catalog/availability")
    assert found == {
        "models": [
            {
                "model_id": MODEL,
                "nodes": ["gpu-a", "gpu-b"],
                "total_nodes": 2,
                "total_capacity": 4,
            }
        ]
    }
    answer = await cloud.ask(
        "POST", "/v2/tasks", {"prompt": "x", "model_ref": "recitel"}, credential=KEY
    )
    assert (answer.status, answer.json()["candidates"]) == (404, [MODEL])


async def test_what_a_node_answers_for_itself_is_asked_of_it(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    await cloud.welcome(await start_node())
    assert (await cloud.get("/v2/gpus?node_id=gpu-a"))["reason"] == "none here"
    assert (await cloud.get("/v2/node?node_id=gpu-a"))["status"] == "online"
    answer = await cloud.ask("GET", "/v2/gpus", credential=KEY)
    assert (answer.status, answer.json()["candidates"]) == (400, ["gpu-a"])
    answer = await cloud.ask("GET", "/v2/gpus?node_id=gpu-z", credential=KEY)
    assert (answer.status, answer.json()["code"]) == (404, "NODE_UNKNOWN")


async def test_listed_nodes_are_polled_and_are_one_with_registered_ones(
    tmp_path: Path, start_node: StartNode
) -> None:
    node = await start_node()
    settings = cloud_settings(
        tmp_path, pool_managers=(node.messages.address,), pool_poll_interval_ms=50
    )
    async with ControlPlane.running(settings, token=TOKEN, key=KEY) as cloud:
        await cloud.until(lambda found: found["models"], "/v2/catalog/availability")
        assert said(await cloud.run(model_ref=MODEL)) == SPEECH
        await cloud.welcome(node)
        assert list(await cloud.nodes()) == ["gpu-a"]


async def test_it_is_ready_without_any_node_and_shows_them_in_metrics(
    settings: Settings, cloud: ControlPlane, start_node: StartNode
) -> None:
    assert settings.remote_nodes
    assert (await cloud.ask("GET", "/ready")).json() == {
        "ready": True,
        "pools": [],
        "safe_mode": False,
    }
    await cloud.welcome(await start_node())
    shown = (await cloud.ask("GET", "/metrics")).body.decode()
    assert 'orchd_nodes{status="online"} 1.0' in shown
    assert "orchd_safe_mode 0.0" in shown
    assert 'orchd_node_report_age_ms{node_id="gpu-a"}' in shown
    assert 'orchd_pools_available{pool_id="gpu-a:chat"} 1.0' in shown
    node = await start_node("gpu-b")
    await cloud.welcome(node)
    await cloud.say("DELETE", "/v2/nodes/gpu-b", node.messages.deregister())
    shown = (await cloud.ask("GET", "/metrics")).body.decode()
    assert "gpu-b" not in shown


async def test_what_is_asked_of_nodes_is_counted_by_node_route_and_pool(
    tmp_path: Path, start_node: StartNode
) -> None:
    node = await start_node()
    settings = cloud_settings(
        tmp_path, pool_managers=(node.messages.address,), pool_poll_interval_ms=50
    )
    async with ControlPlane.running(settings, token=TOKEN, key=KEY) as cloud:
        await cloud.until(lambda found: found["models"], "/v2/catalog/availability")
        await cloud.run(model_ref=MODEL)
        await cloud.get("/v2/gpus?node_id=gpu-a")
        shown = (await cloud.ask("GET", "/metrics")).body.decode()
    upstream = 'orchd_upstream_requests_total{{outcome="{}",peer="{}",route="{}"}}'
    assert upstream.format("ok", "gpu-a", "poll") in shown
    assert upstream.format("ok", "gpu-a", "/v2/gpus") in shown
    assert upstream.format("success", "gpu-a:chat", "engine") in shown
    assert 'orchd_pool_health_checks_total{outcome="healthy",pool_id="gpu-a:chat"}' in shown
    assert 'orchd_pool_health_check_duration_ms_count{pool_id="gpu-a:chat"}' in shown
    assert node.messages.address not in shown


async def test_home_may_poll_nodes_of_this_machine_in_place_of_its_own(
    tmp_path: Path, start_node: StartNode
) -> None:
    node = await start_node()
    settings = Settings(
        home=tmp_path, pool_managers=(node.messages.address,), pool_poll_interval_ms=50
    )
    async with ControlPlane.running(settings) as home:
        await home.until(lambda found: found["models"], "/v2/catalog/availability")
        assert said(await home.run(model_ref=MODEL)) == SPEECH
