"""Nodes that are full, gone, silent or slow, and what clients see of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from orchestratord.testing import MODEL, ControlPlane, ScriptedNode

from .conftest import KEY, SPEECH, TOKEN, cloud_settings, said

StartNode = Callable[..., Awaitable[ScriptedNode]]
NODE_TIMEOUT_MS = 1_200


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """A control plane that bears little silence."""
    settings = cloud_settings(tmp_path, node_timeout_ms=NODE_TIMEOUT_MS, pool_poll_interval_ms=100)
    async with ControlPlane.running(settings, token=TOKEN, key=KEY) as cloud:
        yield cloud


async def lost(cloud: ControlPlane, node_id: str) -> None:
    """Wait until a node is offline."""
    async with asyncio.timeout(10):
        while (await cloud.nodes())[node_id]["status"] != "offline":
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("status", "code"), [(503, "POOL_DRAINING"), (429, "REPLICA_BUSY")])
async def test_a_slot_that_is_not_quite_free_yet_is_waited_for(
    cloud: ControlPlane, start_node: StartNode, status: int, code: str
) -> None:
    node = await start_node()
    node.refusals = [(status, code)] * 2
    await cloud.welcome(node)
    assert said(await cloud.run(model_ref=MODEL)) == SPEECH
    assert len(node.claims) == 3


@pytest.mark.parametrize(("status", "code"), [(503, "POOL_DRAINING"), (429, "REPLICA_BUSY")])
async def test_a_node_that_stays_full_is_no_failure(
    cloud: ControlPlane, start_node: StartNode, status: int, code: str
) -> None:
    full, free = await start_node("gpu-a"), await start_node("gpu-b")
    full.refusals = [(status, code)] * 100
    await cloud.welcome(full)
    running = asyncio.create_task(cloud.run(model_ref=MODEL))
    while len(full.claims) < 5:
        await asyncio.sleep(0.01)
    await cloud.welcome(free)
    assert said(await running) == SPEECH
    assert len(free.claims) == 1
    pools = (await cloud.get("/v2/pools"))["pools"]
    assert all(pool["ready"] for pool in pools)


async def test_a_task_goes_elsewhere_before_its_first_token(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    gone, living = await start_node("gpu-a"), await start_node("gpu-b")
    gone.messages.address = "http://127.0.0.1:9"
    await cloud.welcome(gone)
    await cloud.welcome(living)
    assert said(await cloud.run(model_ref=MODEL)) == SPEECH
    nodes = await cloud.nodes()
    assert (nodes["gpu-a"]["reachable"], nodes["gpu-a"]["placeable"]) == (False, False)
    assert nodes["gpu-b"]["placeable"]


async def test_a_replica_that_fails_at_once_attracts_no_load(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    broken, good = await start_node("gpu-a"), await start_node("gpu-b")
    broken.refusals = [(500, "INTERNAL")] * 1_000
    await cloud.welcome(broken)
    await cloud.welcome(good)
    # It is always the least loaded of the two, as it is done with everything at once.
    for _ in range(10):
        for frames in await asyncio.gather(*(cloud.run(model_ref=MODEL) for _ in range(3))):
            assert said(frames) == SPEECH
    assert len(good.claims) == 30
    assert len(broken.claims) < 10


async def test_a_node_that_could_not_be_called_is_asked_until_it_answers(
    hasty: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    address, node.messages.address = node.messages.address, "http://127.0.0.1:9"
    await hasty.welcome(node)
    answer = await hasty.ask("GET", "/v2/gpus?node_id=gpu-a", credential=KEY)
    assert (answer.status, answer.json()["code"]) == (503, "NODE_UNAVAILABLE")
    await hasty.report(node)
    assert not (await hasty.nodes())["gpu-a"]["placeable"], "a heartbeat says nothing of our calls"
    node.messages.address = address
    await hasty.say("POST", "/v2/nodes/register", node.messages.register())
    async with asyncio.timeout(10):
        while not (await hasty.nodes())["gpu-a"]["placeable"]:
            await asyncio.sleep(0.02)
    assert said(await hasty.run(model_ref=MODEL)) == SPEECH


async def test_a_stream_that_is_silent_with_its_node_fails_over_or_ends(
    hasty: ControlPlane, start_node: StartNode
) -> None:
    silent, other = await start_node("gpu-a"), await start_node("gpu-b")
    silent.silent_after = 1
    await hasty.welcome(silent)
    async with hasty.stream(model_ref=MODEL) as frames:
        assert (await anext(frames))[0] == "started"
        assert (await anext(frames))[0] == "token"
        await hasty.welcome(other)
        event, data = await anext(frames)
    assert (event, data["code"], data["retriable"]) == ("error", "WORKER_RESET", True)
    assert (await hasty.nodes())["gpu-a"]["status"] == "offline"


async def test_a_task_without_a_token_fails_over_when_its_node_falls_silent(
    hasty: ControlPlane, start_node: StartNode
) -> None:
    silent, other = await start_node("gpu-a"), await start_node("gpu-b")
    silent.silent_after = 0
    await hasty.welcome(silent)
    running = asyncio.create_task(hasty.run(model_ref=MODEL))
    await silent.begun.wait()
    beating = asyncio.create_task(_keep_reporting(hasty, other))
    try:
        assert said(await running) == SPEECH
    finally:
        beating.cancel()
    assert len(other.claims) == 1


async def test_a_flowing_stream_of_a_silent_node_goes_on(
    hasty: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    node.words = tuple(f" {number}" for number in range(60))
    node.pause_s = NODE_TIMEOUT_MS / 1000 / 20
    await hasty.welcome(node)
    running = asyncio.create_task(hasty.run(model_ref=MODEL))
    await lost(hasty, "gpu-a")
    assert not running.done()
    assert said(await running) == "".join(node.words)


async def test_most_nodes_silent_at_once_are_not_given_up(
    hasty: ControlPlane, start_node: StartNode
) -> None:
    nodes = [await start_node(f"gpu-{name}") for name in "abc"]
    nodes[0].silent_after = 1
    await hasty.welcome(nodes[0])
    async with hasty.stream(model_ref=MODEL) as frames:
        await anext(frames)
        await anext(frames)
        for node in nodes[1:]:
            await hasty.welcome(node)
        await hasty.report(nodes[0])
        await hasty.until(lambda ready: ready["safe_mode"], "/ready")
        assert "orchd_safe_mode 1.0" in (await hasty.ask("GET", "/metrics")).body.decode()
        assert len(await hasty.nodes()) == 3
        await asyncio.sleep(NODE_TIMEOUT_MS / 1000)  # long enough to be given up otherwise
        for node in nodes:
            await hasty.report(node)
        await hasty.until(lambda ready: not ready["safe_mode"], "/ready")
        nodes[0].go_on.set()
        rest = [frame async for frame in frames]
    assert rest[-1][0] == "end"


async def test_at_its_deadline_a_drain_ends_what_runs_with_a_word(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    node.silent_after = 1
    await cloud.welcome(node)
    async with cloud.stream(model_ref=MODEL) as frames:
        await anext(frames)
        await anext(frames)
        await cloud.say("POST", "/v2/nodes/gpu-a/drain", {"deadline_ms": 50})
        event, data = await anext(frames)
    assert (event, data["code"], data["retriable"]) == ("error", "POOL_UNAVAILABLE", True)


async def test_the_next_engine_of_a_replica_gets_an_adapter_of_its_own(
    cloud: ControlPlane, start_node: StartNode
) -> None:
    node = await start_node()
    await cloud.welcome(node)
    assert said(await cloud.run(model_ref=MODEL)) == SPEECH
    node.generation = 2
    node.words = ("other",)
    await cloud.report(node)
    assert said(await cloud.run(model_ref=MODEL)) == "other"


async def _keep_reporting(cloud: ControlPlane, node: ScriptedNode) -> None:
    await cloud.welcome(node)
    while True:
        await cloud.report(node)
        await asyncio.sleep(NODE_TIMEOUT_MS / 1000 / 6)
