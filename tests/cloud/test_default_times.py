"""Silence as long as it is by default: 30 s until a node is offline."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from demo_model import SLOW

from .calls import GREEDY, CloudApi, all_idle, serves_again
from .cluster import Cluster
from .of_home import Pool, check_grammar, eventually, text_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

TIMEOUT_S = 30.0
LOST_FOR_S = 40.0
CHECKED_EVERY_S = 1.0
BACK_S = 20.0
"""A heartbeat comes every ten seconds."""
NODES = ("node-a", "node-b", "node-c")
LONG = {"model_ref": "slow", "prompt": "1", "max_tokens": 7000, "sampling": GREEDY}


@pytest.fixture
async def cluster(make_cluster: Callable[..., Cluster], models: Path) -> Cluster:
    cluster = make_cluster(node_timeout_ms=int(1000 * TIMEOUT_S))
    cluster.control.start()
    for name in NODES:
        cluster.node(name, Pool.of(models, SLOW, slots=2, ctx=16_384)).start()
    return cluster


async def test_forty_seconds_without_a_heartbeat_cut_no_stream(
    cluster: Cluster, api: CloudApi
) -> None:
    async def read(node: str) -> None:
        pin = {"mode": "pin", "node_id": node}
        async with api.open(**LONG, placement=pin, on_disconnect="cancel") as stream:
            frames = await stream.until("token")
            ready.release()
            while not lost.is_set():
                frames += await stream.until("token")
            await api.cancel(stream.task_id)
            frames += await stream.rest()
        check_grammar(frames)
        assert frames[-1].data["code"] == "CANCELED"
        assert SLOW.expected_text(7000).startswith(text_of(frames))

    ready, lost = asyncio.Semaphore(0), asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        for name in NODES:
            clients.create_task(read(name))
        for _ in NODES:
            await ready.acquire()
        for node in cluster.nodes.values():
            node.out.cut()
        await asyncio.sleep(LOST_FOR_S)
        assert (await api.get("/ready"))["safe_mode"] is True
        lost.set()
        for node in cluster.nodes.values():
            node.out.heal()
    healed_s = time.monotonic()
    await api.all_placeable(*NODES, within_s=BACK_S)
    print(f"all take tasks {time.monotonic() - healed_s:.1f} s after the heartbeats came again")
    assert (await api.get("/ready"))["safe_mode"] is False
    await all_idle(cluster, api, within_s=BACK_S)


async def test_a_partitioned_node_is_offline_within_its_time_and_back_by_itself(
    cluster: Cluster, api: CloudApi
) -> None:
    async def offline() -> bool:
        return (await api.nodes())["node-c"]["status"] == "offline"

    pin = {"mode": "pin", "node_id": "node-c"}
    async with api.open(**LONG, placement=pin) as stream:
        frames = await stream.until("token")
        cluster.nodes["node-c"].partition()
        cut_s = time.monotonic()
        try:
            await eventually(offline, "the silence", within_s=TIMEOUT_S + 2 * CHECKED_EVERY_S)
            print(f"offline {time.monotonic() - cut_s:.1f} s after the cut")
            frames += await stream.rest()
            told_s = time.monotonic() - cut_s
        finally:
            cluster.nodes["node-c"].heal()
    assert frames[-1].data["code"] == "WORKER_RESET"
    assert told_s < TIMEOUT_S + 5
    print(f"its stream was told after {told_s:.1f} s")
    healed_s = time.monotonic()
    await serves_again(api, "node-c", within_s=BACK_S)
    print(f"it serves {time.monotonic() - healed_s:.1f} s after it could be reached")
    await all_idle(cluster, api, within_s=BACK_S)
