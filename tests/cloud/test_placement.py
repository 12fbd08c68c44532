"""Where tasks run, what a drain does to them, and that nothing is counted wrong."""

import asyncio
import time
from collections import Counter

import pytest

from demo_model import ENDLESS, SLOW

from .calls import GREEDY, CloudApi, all_idle
from .cluster import Cluster
from .of_home import check_grammar, engine_busy, eventually, get, text_of

SLOTS = 6
CANCEL_S = 1.0


async def test_the_text_of_an_engine_comes_through_the_relay_unchanged(api: CloudApi) -> None:
    told = await api.told(model_ref="endless", max_tokens=1500)
    assert told == ("node-a", ENDLESS.expected_text(1500))


async def test_tasks_spread_over_the_nodes_and_wait_when_all_are_full(
    cluster: Cluster, api: CloudApi
) -> None:
    told = await asyncio.gather(
        *(api.told(model_ref="slow", max_tokens=12) for _ in range(2 * SLOTS))
    )
    assert {text for _, text in told} == {SLOW.expected_text(12)}
    assert all(2 <= count <= 6 for count in Counter(node for node, _ in told).values())
    assert {node for node, _ in told} == set(cluster.nodes)
    await all_idle(cluster, api)


async def test_as_many_tasks_as_slots_fill_every_node_evenly(
    cluster: Cluster, api: CloudApi
) -> None:
    tasks = [await api.submit(model_ref="slow", prompt="1", max_tokens=4000) for _ in range(SLOTS)]
    try:
        for node in cluster.nodes.values():
            await engine_busy(node.engine("slow"), 2)
    finally:
        for task in tasks:
            await api.cancel(task["task_id"])
    await all_idle(cluster, api)


@pytest.mark.parametrize("pin", [{"node_id": "node-b"}, {"pin_pool_id": "node-b:slow"}])
async def test_a_pinned_task_runs_where_it_is_pinned_and_says_why(
    api: CloudApi, pin: dict[str, str]
) -> None:
    pinned = {"mode": "pin", **pin}
    for _ in range(3):
        told = await api.told(model_ref="slow", max_tokens=2, placement=pinned)
        assert told == ("node-b", SLOW.expected_text(2))
    task = await api.submit(model_ref="slow", prompt="1", max_tokens=2, placement=pinned)
    await api.read(task["task_id"])
    placement = (await api.get(f"/v2/tasks/{task['task_id']}"))["placement"]
    assert (placement["node_id"], placement["pool_id"]) == ("node-b", "slow")
    reasons = {
        f"{seen['node_id']}:{seen['pool_id']}": seen["refused"] for seen in placement["candidates"]
    }
    assert reasons["node-b:slow"] is None
    assert reasons["node-a:slow"]
    assert reasons["node-c:slow"]


async def test_a_task_goes_where_the_labels_are_that_it_prefers(api: CloudApi) -> None:
    for zone, nodes in (("east", {"node-a"}), ("west", {"node-b", "node-c"})):
        placement = {"mode": "prefer", "prefer_labels": {"zone": zone}}
        node, _ = await api.told(model_ref="slow", max_tokens=2, placement=placement)
        assert node in nodes


async def test_a_cancel_frees_the_slot_behind_the_relay_within_a_second(
    cluster: Cluster, api: CloudApi
) -> None:
    async with api.open(
        model_ref="slow", prompt="1", max_tokens=4000, on_disconnect="cancel"
    ) as stream:
        frames = await stream.until("token", count=3)
        engine = cluster.nodes[await api.place_of(stream.task_id)].engine("slow")
        assert engine.busy() == 1
        began_s = time.monotonic()
        await api.cancel(stream.task_id)
        await engine_busy(engine, 0)
        took_s = time.monotonic() - began_s
        frames += await stream.rest()
    check_grammar(frames)
    assert frames[-1].data["code"] == "CANCELED"
    assert took_s < CANCEL_S
    await all_idle(cluster, api)


async def test_a_client_that_leaves_frees_the_slot_as_well(cluster: Cluster, api: CloudApi) -> None:
    async with api.open(
        model_ref="slow", prompt="1", max_tokens=4000, on_disconnect="cancel"
    ) as stream:
        await stream.until("token")
        engine = cluster.nodes[await api.place_of(stream.task_id)].engine("slow")
    await engine_busy(engine, 0)
    await all_idle(cluster, api)


async def test_a_node_is_drained_under_load_and_no_task_fails(
    cluster: Cluster, api: CloudApi
) -> None:
    done, told = asyncio.Event(), []

    async def client() -> None:
        while not done.is_set():
            began_s = time.monotonic()
            node, text = await api.told(model_ref="slow", max_tokens=15)
            told.append((began_s, node, text))

    def served(node: str, since_s: float) -> int:
        return sum(began_s > since_s and where == node for began_s, where, _ in told)

    async def waits_for(node: str, since_s: float) -> None:
        async def look() -> bool:
            return served(node, since_s) >= 1

        await eventually(look, f"{node} serves", within_s=30)

    async with asyncio.TaskGroup() as clients:
        for _ in range(SLOTS):
            clients.create_task(client())
        await waits_for("node-b", 0.0)
        await api.operate("POST", "/v2/nodes/node-b/drain", 202, json={"deadline_ms": 30_000})
        drained_s = time.monotonic()
        await engine_busy(cluster.nodes["node-b"].engine("slow"), 0, within_s=20)
        for node in ("node-a", "node-c"):
            await waits_for(node, drained_s)
        assert not (await api.nodes())["node-b"]["placeable"]
        assert served("node-b", drained_s) == 0
        await api.operate("POST", "/v2/nodes/node-b/resume")
        await waits_for("node-b", time.monotonic())
        done.set()
    assert {text for _, _, text in told} == {SLOW.expected_text(15)}
    await all_idle(cluster, api)


async def test_a_task_that_overstays_a_drain_is_told_to_come_again(
    cluster: Cluster, api: CloudApi
) -> None:
    pin = {"mode": "pin", "pin_pool_id": "node-c:slow"}
    async with api.open(
        model_ref="slow", prompt="1", max_tokens=4000, sampling=GREEDY, placement=pin
    ) as stream:
        frames = await stream.until("token", count=2)
        answer = await api.call("POST", "/v2/pools/node-c:slow/drain", json={"deadline_ms": 200})
        assert answer.status == 202, answer
        frames += await stream.rest()
    check_grammar(frames)
    assert SLOW.expected_text(4000).startswith(text_of(frames))
    assert frames[-1].data["code"] == "POOL_UNAVAILABLE"
    assert frames[-1].data["retriable"] is True

    async def measured() -> bool:
        shown = get(f"{cluster.nodes['node-c'].into.url}/metrics").decode()
        # The control plane has made it end a moment before the node would have.
        drain = 'pool_drain_duration_ms_count{node_id="node-c",outcome="emptied",pool_id="slow"}'
        handoff = 'pool_handoff_processing_duration_ms_count{node_id="node-c",pool_id="slow"}'
        return drain in shown and handoff in shown

    await eventually(measured, "the drain and the handoff before it are measured")
    assert (await api.call("POST", "/v2/pools/node-c:slow/resume")).status == 200
    await api.all_placeable("node-c")
    await all_idle(cluster, api)
