"""Nodes with networks of their own: what can be reached, and what a broken cable does."""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo_model import SLOW

from .calls import GREEDY, CloudApi, all_idle, serves_again
from .cluster import NODE_TIMEOUT_MS, Cluster
from .namespaces import CALL_S, Network, run
from .of_home import Pool, check_grammar, eventually, text_of

pytestmark = pytest.mark.netns

SILENCE_S = NODE_TIMEOUT_MS / 1000
BACK_S = 15.0
SMALL_DISK = "size=24m"

Connect = Callable[[Cluster], CloudApi]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("nft")):
        pytest.fail("this suite needs root, iproute2 and nftables")
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    models: Path,
    network: Network,
    aliases: dict[str, str],
) -> Iterator[Cluster]:
    """A control plane and three nodes, each on a machine of its own; one has a small disk."""
    folder = tmp_path_factory.mktemp("netns") / "cluster"
    with Cluster.at(folder, network, model_aliases=aliases) as cluster:
        cluster.control.start()
        for name in ("node-a", "node-b", "node-c"):
            cluster.node(name, Pool.of(models, SLOW, slots=2, ctx=8192))
        disk = cluster.nodes["node-c"].folder
        run("mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", str(disk))
        for node in cluster.nodes.values():
            node.start()
        yield cluster
    run("umount", str(disk))


def answers(address: str, port: int) -> bool:
    """Whether anybody takes a connection."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def fill(path: Path) -> None:
    """Leave no room on the disk that a file lies on."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert not shutil.disk_usage(path).free


async def test_no_engine_is_reached_from_another_machine(cluster: Cluster, api: CloudApi) -> None:
    machines = [node.into.machine for node in cluster.nodes.values()]
    others = [*machines, cluster.control.wire.machine]
    for node in cluster.nodes.values():
        own, port = node.into.machine, int(node.engine("slow").url.rpartition(":")[2])
        assert own.within(answers, "127.0.0.1", port), "the engine is not there at all"
        for other in others:
            assert other.within(answers, own.address, 9200)
            assert not other.within(answers, own.address, port)


async def test_a_node_listens_to_one_port_that_others_can_reach(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        table = node.into.machine.within(
            lambda: Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
        )
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
        reachable = [local for local in listening if not local.startswith("0100007F")]
        assert [int(local.partition(":")[2], 16) for local in reachable] == [9200]


async def test_an_unplugged_node_is_left_alone_and_comes_back(
    cluster: Cluster, api: CloudApi
) -> None:
    node = cluster.nodes["node-b"]
    asked = {"model_ref": "slow", "prompt": "1", "sampling": GREEDY}
    pin = {"mode": "pin", "node_id": "node-b"}
    prefer = {"mode": "prefer", "prefer_pools": ["node-b:slow"]}
    async with (
        api.open(**asked, max_tokens=3000, placement=pin) as failing,
        api.open(**asked, max_tokens=60, on_worker_loss="resume", placement=prefer) as going_on,
    ):
        failed = await failing.until("token", count=2)
        resumed = await going_on.until("token", count=2)
        node.partition()
        began_s = time.monotonic()
        try:
            failed += await failing.rest()
            told_s = time.monotonic() - began_s
            resumed += await going_on.rest()
            for _ in range(3):
                assert (await api.told(model_ref="slow", max_tokens=2))[0] != "node-b"
        finally:
            node.heal()
    check_grammar(resumed)
    assert failed[-1].data["code"] == "WORKER_RESET"
    assert SLOW.expected_text(3000).startswith(text_of(failed))
    assert (resumed[-1].event, text_of(resumed)) == ("end", SLOW.expected_text(60))
    assert told_s < SILENCE_S + 5
    await serves_again(api, "node-b", within_s=BACK_S)
    await all_idle(cluster, api, within_s=BACK_S)


async def test_a_node_that_refuses_connections_loses_no_task(
    cluster: Cluster, api: CloudApi
) -> None:
    machine = cluster.nodes["node-a"].into.machine
    machine.filter("tcp dport 9200 reject with tcp reset")
    try:
        for _ in range(4):
            node, text = await api.told(model_ref="slow", max_tokens=3)
            assert (node != "node-a", text) == (True, SLOW.expected_text(3))
    finally:
        machine.filter("")
    await serves_again(api, "node-a", within_s=BACK_S)
    await all_idle(cluster, api, within_s=BACK_S)


async def test_lost_packets_lose_no_token(cluster: Cluster, api: CloudApi) -> None:
    for node in cluster.nodes.values():
        node.into.machine.filter('iifname "eth0" numgen random mod 100 < 2 drop')
    try:
        for _ in range(3):
            assert (await api.told(model_ref="slow", max_tokens=60))[1] == SLOW.expected_text(60)
        assert {node["status"] for node in (await api.nodes()).values()} == {"online"}
    finally:
        for node in cluster.nodes.values():
            node.into.machine.filter("")
    await all_idle(cluster, api, within_s=BACK_S)


async def test_a_node_with_a_full_disk_serves_and_heals_when_there_is_room_again(
    cluster: Cluster, api: CloudApi
) -> None:
    node = cluster.nodes["node-c"]
    pin = {"mode": "pin", "node_id": "node-c"}
    ballast = node.folder / "ballast"
    try:
        fill(ballast)
        for _ in range(3):
            told = await api.told(model_ref="slow", max_tokens=20, placement=pin)
            assert told == ("node-c", SLOW.expected_text(20))
        node.engine("slow").kill()
        assert (await api.told(model_ref="slow", max_tokens=5))[1] == SLOW.expected_text(5)

        async def noticed() -> bool:
            return (await api.nodes())["node-c"]["status"] == "online"

        await eventually(noticed, "the node is still heard", within_s=CALL_S)
    finally:
        ballast.unlink()
    await serves_again(api, "node-c", within_s=2 * BACK_S)
    await all_idle(cluster, api, within_s=BACK_S)
