"""A node and a client at the end of a bad line: 200 ms away, give or take 100, and 2 % is lost."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from demo_model import SLOW

from .calls import GREEDY, CloudApi, all_idle
from .cluster import CLIENT_KEY, NODE_TIMEOUT_MS, Cluster
from .namespaces import Network
from .of_home import EVENT_STREAM, Pool, check_grammar, frames_of, text_of

pytestmark = pytest.mark.netns

DELAY_S = (0.1, 0.3)
LOSS = 0.02
BACK_S = 30.0
TOKENS = 40


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, models: Path, aliases: dict[str, str]
) -> Iterator[Cluster]:
    """One node beside the control plane, and one far away."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.fail("this suite needs root and iproute2")
    folder = tmp_path_factory.mktemp("far") / "cluster"
    with Network() as network:
        network.put_far_away("far", delay_s=DELAY_S, loss=LOSS)
        with Cluster.at(folder, network, model_aliases=aliases) as cluster:
            cluster.control.start()
            for name in ("near", "far"):
                cluster.node(name, Pool.of(models, SLOW, slots=2, ctx=4096)).start()
            yield cluster


async def test_tasks_on_a_far_node_lose_no_token_and_it_stays_online(
    cluster: Cluster, api: CloudApi
) -> None:
    cable = cluster.nodes["far"].into.machine.cable
    done = asyncio.Event()

    async def watch() -> set[str]:
        seen = set()
        while not done.is_set():
            node = (await api.nodes())["far"]
            seen.add(node["status"])
            assert node["silent_ms"] < NODE_TIMEOUT_MS
            await asyncio.sleep(0.1)
        return seen

    far = {"mode": "pin", "node_id": "far"}
    lost_before = cable.lost
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        while cable.lost == lost_before:
            told = await asyncio.gather(
                *(api.told(model_ref="slow", max_tokens=TOKENS, placement=far) for _ in range(2))
            )
            assert told == [("far", SLOW.expected_text(TOKENS))] * 2
        done.set()
    assert watching.result() == {"online"}
    await all_idle(cluster, api, within_s=BACK_S)


async def test_a_client_far_away_reads_every_token_in_its_order(
    cluster: Cluster, api: CloudApi
) -> None:
    async def read() -> tuple[float, bytes]:
        task = {"model_ref": "slow", "prompt": "1", "max_tokens": TOKENS, "sampling": GREEDY}
        headers = {**EVENT_STREAM, "Authorization": f"Bearer {CLIENT_KEY}"}
        began_s = time.monotonic()
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{api.url}/v2/tasks", json=task) as response,
        ):
            took_s = time.monotonic() - began_s
            return took_s, await response.read()

    machine = cluster.nodes["far"].into.machine
    took_s, body = await asyncio.to_thread(machine.within, lambda: asyncio.run(read()))
    # Twice there and back: the connection, then the request.
    assert took_s > 4 * DELAY_S[0], "it was not far away at all"
    frames = frames_of(body)
    check_grammar(frames)
    assert (frames[-1].event, text_of(frames)) == ("end", SLOW.expected_text(TOKENS))


async def test_a_stream_from_a_far_node_is_resumed_elsewhere_when_that_dies(
    cluster: Cluster, api: CloudApi
) -> None:
    node = cluster.nodes["far"]
    async with api.open(
        model_ref="slow",
        prompt="1",
        max_tokens=TOKENS,
        sampling=GREEDY,
        on_worker_loss="resume",
        placement={"mode": "prefer", "prefer_pools": ["far:slow"]},
    ) as stream:
        frames = await stream.until("token", count=3)
        assert await api.place_of(stream.task_id) == "far"
        node.engine("slow").kill()
        frames += await stream.rest()
    check_grammar(frames)
    assert (frames[-1].event, text_of(frames)) == ("end", SLOW.expected_text(TOKENS))
    await api.all_placeable("far", within_s=BACK_S)
    await all_idle(cluster, api, within_s=BACK_S)


async def test_a_far_node_leaves_in_order(
    cluster: Cluster, connect: Callable[[Cluster], CloudApi]
) -> None:
    api, node = connect(cluster), cluster.nodes["far"]
    node.tell(signal.SIGTERM)
    assert await asyncio.to_thread(node.wait) == 0
    assert set(await api.nodes()) == {"near"}
    node.start()
    await api.all_placeable("far", within_s=BACK_S)
