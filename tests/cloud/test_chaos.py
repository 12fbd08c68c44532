"""What clients see when something dies or goes silent, and how long it takes until all is well."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from demo_model import ENDLESS, SLOW

from .calls import GREEDY, CloudApi, all_idle, serves_again
from .cluster import NODE_TIMEOUT_MS, Cluster
from .of_home import (
    Engine,
    Stream,
    check_grammar,
    engine_busy,
    eventually,
    get,
    text_of,
)

LONG_PROMPT = "0123456789" * 380
MANY = 3000
BACK_S = 15.0
"""Within this time everything takes tasks again after whatever has happened to it."""
SILENCE_S = NODE_TIMEOUT_MS / 1000
HEARD_EVERY_S = SILENCE_S / 3
LOST_FOR_S = SILENCE_S * 40 / 30
"""With the default timeout of 30 s: 40 s."""

Connect = Callable[[Cluster], CloudApi]


def pinned_to(node: str) -> dict[str, str]:
    return {"mode": "pin", "node_id": node}


async def engine_of(cluster: Cluster, api: CloudApi, stream: Stream) -> Engine:
    """The engine that a stream comes from now."""
    return cluster.nodes[await api.place_of(stream.task_id)].engine("slow")


async def served_now(api: CloudApi) -> set[str]:
    """The nodes that serve when as many tasks come as there are slots; none of them may fail."""
    told = await asyncio.gather(*(api.told(model_ref="slow", max_tokens=3) for _ in range(6)))
    assert {text for _, text in told} == {SLOW.expected_text(3)}
    return {node for node, _ in told}


@asynccontextmanager
async def back_within(api: CloudApi, cluster: Cluster) -> AsyncIterator[None]:
    """Hold that soon after this all nodes take tasks, and that no slot has leaked."""
    yield
    await api.all_placeable(*cluster.nodes, within_s=BACK_S)
    await all_idle(cluster, api)


async def test_a_killed_engine_is_told_and_replaced(cluster: Cluster, api: CloudApi) -> None:
    async with back_within(api, cluster):
        async with api.open(
            model_ref="slow",
            prompt="1",
            max_tokens=MANY,
            sampling=GREEDY,
            on_disconnect="cancel",
        ) as stream:
            frames = await stream.until("token", count=3)
            (await engine_of(cluster, api, stream)).kill()
            frames += await stream.rest()
        check_grammar(frames)
        assert SLOW.expected_text(MANY).startswith(text_of(frames))
        assert (frames[-1].event, frames[-1].data["code"]) == ("error", "WORKER_RESET")
        assert frames[-1].data["retriable"] is True
        _, text = await api.told(model_ref="slow", max_tokens=5)
        assert text == SLOW.expected_text(5)


async def test_a_task_without_a_token_moves_silently_to_another_node(
    cluster: Cluster, api: CloudApi
) -> None:
    async with (
        back_within(api, cluster),
        api.open(model_ref="slow", prompt=LONG_PROMPT, max_tokens=5, sampling=GREEDY) as stream,
    ):
        frames = await stream.until("started")

        async def bound() -> bool:
            placed = (await api.get(f"/v2/tasks/{stream.task_id}"))["placement"]
            return placed["node_id"] is not None

        await eventually(bound, "the task is bound")
        first = await api.place_of(stream.task_id)
        engine = cluster.nodes[first].engine("slow")
        await engine_busy(engine, 1)
        engine.kill()
        frames += await stream.rest()
        check_grammar(frames)
        assert (frames[-1].event, text_of(frames)) == ("end", SLOW.expected_text(5))
        assert await api.place_of(stream.task_id) != first


async def test_a_resumed_stream_is_one_stream_however_often_its_engine_dies(
    cluster: Cluster, api: CloudApi
) -> None:
    async with (
        back_within(api, cluster),
        api.open(
            model_ref="slow", prompt="1", max_tokens=100, sampling=GREEDY, on_worker_loss="resume"
        ) as stream,
    ):
        frames = []
        for _ in range(2):
            frames += await stream.until("token", count=20)
            (await engine_of(cluster, api, stream)).kill()
        frames += await stream.rest()
        check_grammar(frames)
        assert (frames[-1].event, text_of(frames)) == ("end", SLOW.expected_text(100))
        assert frames[-1].data["tokens_out"] == 100


async def test_a_killed_node_daemon_leaves_its_engines_and_adopts_them(
    cluster: Cluster, api: CloudApi
) -> None:
    node = cluster.nodes["node-b"]
    engine = node.engine("slow")
    async with (
        back_within(api, cluster),
        api.open(
            model_ref="slow",
            prompt="1",
            max_tokens=100,
            sampling=GREEDY,
            on_worker_loss="resume",
            placement={"mode": "prefer", "prefer_pools": ["node-b:slow"]},
        ) as stream,
    ):
        frames = await stream.until("token", count=5)
        assert await api.place_of(stream.task_id) == "node-b"
        node.kill()

        async def known() -> bool:
            return not (await api.nodes())["node-b"]["placeable"]

        faster_s = SILENCE_S - HEARD_EVERY_S
        await eventually(known, "known by the stream, before it is by silence", within_s=faster_s)
        frames += await stream.rest()
        check_grammar(frames)
        assert text_of(frames) == SLOW.expected_text(100)
        assert engine.slots(), "the engine went with its daemon"
        assert "node-b" not in await served_now(api)
        node.start()
        await serves_again(api, "node-b", within_s=BACK_S)
        assert node.engine("slow") == engine, "the engine was started again"


async def test_nodes_find_a_killed_control_plane_again_by_themselves(
    cluster: Cluster, api: CloudApi, connect: Connect
) -> None:
    engines = [engine for node in cluster.nodes.values() for engine in node.engines()]
    lost = await api.submit(model_ref="slow", prompt="1", max_tokens=MANY)
    pids = [node.pid for node in cluster.nodes.values()]
    async with api.open(model_ref="slow", prompt="1", max_tokens=MANY) as stream:
        await stream.until("token")
        cluster.control.kill()
        with pytest.raises(aiohttp.ClientError):  # Broken off, and not as if it had ended.
            await stream.rest()
    cluster.control.start()
    api = connect(cluster)
    async with back_within(api, cluster):
        await api.all_placeable(*cluster.nodes, within_s=BACK_S)
        assert pids == [node.pid for node in cluster.nodes.values()]
        assert engines == [engine for node in cluster.nodes.values() for engine in node.engines()]
        gone = await api.call("GET", f"/v2/tasks/{lost['task_id']}")
        assert (gone.status, gone.json()["code"]) == (404, "TASK_NOT_FOUND")
        _, text = await api.told(model_ref="slow", max_tokens=5)
        assert text == SLOW.expected_text(5)


async def test_a_partitioned_node_is_left_alone_and_returns_by_itself(
    cluster: Cluster, api: CloudApi
) -> None:
    node = cluster.nodes["node-c"]
    asked = {
        "model_ref": "slow",
        "prompt": "1",
        "sampling": GREEDY,
        "on_disconnect": "cancel",
    }
    prefer = {"mode": "prefer", "prefer_pools": ["node-c:slow"]}
    async with (
        back_within(api, cluster),
        api.open(**asked, max_tokens=MANY, placement=pinned_to("node-c")) as failing,
        api.open(**asked, max_tokens=60, on_worker_loss="resume", placement=prefer) as going_on,
    ):
        failed = await failing.until("token", count=2)
        resumed = await going_on.until("token", count=2)
        assert await api.place_of(going_on.task_id) == "node-c"
        node.partition()
        began_s = time.monotonic()
        try:
            failed += await failing.rest()
            told_s = time.monotonic() - began_s
            resumed += await going_on.rest()
            assert (await api.nodes())["node-c"]["status"] == "offline"
            assert "node-c" not in await served_now(api)
        finally:
            node.heal()
        assert failed[-1].data["code"] == "WORKER_RESET"
        assert SLOW.expected_text(MANY).startswith(text_of(failed))
        assert (resumed[-1].event, text_of(resumed)) == ("end", SLOW.expected_text(60))
        check_grammar(resumed)
        assert told_s < SILENCE_S + BACK_S
        await serves_again(api, "node-c", within_s=BACK_S)


async def test_lost_heartbeats_cut_nothing_and_most_at_once_are_the_network_here(
    cluster: Cluster, api: CloudApi
) -> None:
    async def safe(now: bool) -> None:
        async def look() -> bool:
            return (await api.operate("GET", "/v2/nodes"))["safe_mode"] is now

        await eventually(look, f"safe mode: {now}", within_s=SILENCE_S + BACK_S)

    async def all_suspected() -> bool:
        return all(node["suspected"] for node in (await api.nodes()).values())

    async with (
        back_within(api, cluster),
        api.open(
            model_ref="slow",
            prompt="1",
            max_tokens=MANY,
            sampling=GREEDY,
            on_disconnect="cancel",
        ) as stream,
    ):
        frames = await stream.until("token")
        cut_s = time.monotonic()
        for node in cluster.nodes.values():
            node.out.cut()
        try:
            await safe(True)
            await eventually(all_suspected, "no node is heard", within_s=SILENCE_S + BACK_S)
            assert (await api.get("/ready"))["safe_mode"] is True
            assert "orchd_safe_mode 1" in get(f"{api.url}/metrics").decode()
            assert (await engine_of(cluster, api, stream)).busy() == 1, "what ran was cut"
            refused = await api.call("POST", "/v2/tasks", json={"model_ref": "slow", "prompt": "1"})
            assert (refused.status, refused.json()["code"]) == (503, "POOL_UNAVAILABLE")
            assert refused.json()["retriable"] is True
            while time.monotonic() - cut_s < LOST_FOR_S:
                frames += await stream.until("token", count=5)
        finally:
            for node in cluster.nodes.values():
                node.out.heal()
        await safe(False)
        await api.all_placeable(*cluster.nodes, within_s=BACK_S)
        assert (await api.told(model_ref="slow", max_tokens=4))[1] == SLOW.expected_text(4)
        assert await api.state(stream.task_id) == "running"
        await api.cancel(stream.task_id)
        frames += await stream.rest()
        check_grammar(frames)
        assert SLOW.expected_text(MANY).startswith(text_of(frames))
        assert frames[-1].data["code"] == "CANCELED"


async def test_a_slow_network_slows_down_and_breaks_nothing(
    cluster: Cluster, api: CloudApi
) -> None:
    wires = [wire for node in cluster.nodes.values() for wire in (node.out, node.into)]
    async with back_within(api, cluster):
        for wire in wires:
            wire.delay_s = (0.1, 0.3)
        try:
            told = await asyncio.gather(
                *(api.told(model_ref="slow", max_tokens=30) for _ in range(4)),
                api.told(model_ref="endless", max_tokens=900),
            )
        finally:
            for wire in wires:
                wire.delay_s = (0.0, 0.0)
        assert [text for _, text in told] == [SLOW.expected_text(30)] * 4 + [
            ENDLESS.expected_text(900)
        ]
        assert all(node["status"] == "online" for node in (await api.nodes()).values())


async def test_the_clock_of_a_node_is_nobodys_business(cluster: Cluster, api: CloudApi) -> None:
    """All tests of this cluster hold with these clocks; here they are shown to be wrong."""
    for name, hours in (("node-a", 0), ("node-b", -1), ("node-c", 1)):
        began_s = cluster.nodes[name].handoff("slow")["created_ms"] / 1000
        assert round((began_s - time.time()) / 3600) == hours
        served = await api.told(model_ref="slow", max_tokens=3, placement=pinned_to(name))
        assert served == (name, SLOW.expected_text(3))
    nodes = await api.nodes()
    assert {node["status"] for node in nodes.values()} == {"online"}
    assert max(node["silent_ms"] for node in nodes.values()) < NODE_TIMEOUT_MS


async def test_a_node_that_will_be_taken_away_finishes_what_it_has_and_takes_nothing_new(
    cluster: Cluster, api: CloudApi
) -> None:
    node = cluster.nodes["node-b"]
    async with (
        back_within(api, cluster),
        api.open(
            model_ref="slow",
            prompt="1",
            max_tokens=100,
            sampling=GREEDY,
            placement=pinned_to("node-b"),
        ) as stream,
    ):
        frames = await stream.until("token")
        node.tell(signal.SIGUSR1)

        async def draining() -> bool:
            return bool((await api.pools())["node-b:slow"]["draining"])

        await eventually(draining, "the notice is known", within_s=SILENCE_S)
        assert "node-b" not in await served_now(api)
        node.tell(signal.SIGTERM)
        frames += await stream.rest()
        check_grammar(frames)
        assert (frames[-1].event, text_of(frames)) == ("end", SLOW.expected_text(100))
        assert await asyncio.to_thread(node.wait) == 0
        assert "node-b" not in await api.nodes()
        node.start()
        await serves_again(api, "node-b", within_s=BACK_S)
