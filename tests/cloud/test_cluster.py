"""Three nodes and a control plane: who is there, and which models are where."""

import signal
from collections.abc import Callable
from pathlib import Path

from demo_model import DEMO

from .calls import GREEDY, CloudApi
from .cluster import NODE_TIMEOUT_MS, Cluster
from .of_home import Pool, eventually


async def test_nodes_join_in_any_order_and_say_what_they_are(
    cluster: Cluster, api: CloudApi
) -> None:
    nodes = await api.nodes()
    assert set(nodes) == {"node-a", "node-b", "node-c"}
    for name, node in nodes.items():
        assert node["status"] == "online", node
        assert node["placeable"]
        assert node["reachable"]
        assert not node["suspected"]
        assert node["address"] == cluster.nodes[name].into.url
    assert [node["labels"]["zone"] for node in nodes.values()] == ["east", "west", "west"]


async def test_nodes_are_heard_again_and_again(api: CloudApi) -> None:
    most = {name: node["silent_ms"] for name, node in (await api.nodes()).items()}
    heard_again: set[str] = set()

    async def look() -> bool:
        for name, node in (await api.nodes()).items():
            if node["silent_ms"] < most[name]:
                heard_again.add(name)
            most[name] = max(node["silent_ms"], most[name])
        return heard_again == most.keys()

    await eventually(look, "a heartbeat of each")
    assert max(most.values()) < NODE_TIMEOUT_MS


async def test_availability_tells_where_each_model_is(
    api: CloudApi, aliases: dict[str, str]
) -> None:
    models = {model["model_id"]: model for model in (await availability(api))}
    slow, endless = models[aliases["slow"]], models[aliases["endless"]]
    assert slow["nodes"] == ["node-a", "node-b", "node-c"]
    assert (slow["total_nodes"], slow["total_capacity"]) == (3, 6)
    assert endless["nodes"] == ["node-a"]
    assert (endless["total_nodes"], endless["total_capacity"]) == (1, 1)
    assert aliases["demo"] not in models


async def test_pools_are_named_by_their_node(api: CloudApi) -> None:
    pools = await api.pools()
    assert set(pools) == {"node-a:slow", "node-a:endless", "node-b:slow", "node-c:slow"}
    assert (await api.get("/v2/pools/endless/health"))["ready"], "it is unique, so it needs no node"
    ambiguous = await api.call("GET", "/v2/pools/slow/health")
    assert (ambiguous.status, ambiguous.json()["code"]) == (409, "AMBIGUOUS_POOL")
    assert len(ambiguous.json()["candidates"]) == 3


async def test_a_node_comes_and_goes_and_nothing_is_restarted(
    cluster: Cluster, api: CloudApi, models: Path, aliases: dict[str, str]
) -> None:
    pids = [cluster.control.pid, *(node.pid for node in cluster.nodes.values())]
    before = await api.call("POST", "/v2/tasks", json={"model_ref": "demo", "prompt": "1"})
    assert before.json()["code"] in {"MODEL_NOT_FOUND", "MODEL_NOT_AVAILABLE"}
    new = cluster.node("node-d", Pool.of(models, DEMO)).start()
    await api.all_placeable("node-d")
    assert await api.told(model_ref="demo") == ("node-d", DEMO.expected_text())
    del cluster.nodes["node-d"]
    new.tell(signal.SIGTERM)

    async def gone() -> bool:
        return "node-d" not in await api.nodes()

    await eventually(gone, "the node has left")
    assert new.wait() == 0
    left = {model["model_id"]: model["nodes"] for model in await availability(api)}
    assert not left.get(aliases["demo"])
    after = await api.call("POST", "/v2/tasks", json={"model_ref": "demo", "prompt": "1"})
    assert after.json()["code"] == before.json()["code"]
    assert pids == [cluster.control.pid, *(node.pid for node in cluster.nodes.values())]
    assert all(program.running for program in (cluster.control, *cluster.nodes.values()))


async def test_a_node_that_registers_and_is_listed_is_one_node(
    make_cluster: Callable[..., Cluster], connect: Callable[[Cluster], CloudApi], models: Path
) -> None:
    cluster = make_cluster(pool_poll_interval_ms=200)
    both = cluster.node("both", Pool.of(models, DEMO))
    listed = cluster.node("listed", POOL_MANAGERD_ORCHESTRATORD_URL="")
    cluster.control.settings["pool_managers"] = [both.into.url, listed.into.url]
    for program in (both, listed, cluster.control):
        program.start()
    api = connect(cluster)
    await api.all_placeable("both")

    async def look() -> bool:
        return set(await api.nodes()) == {"both", "listed"}

    await eventually(look, "both nodes, each once")
    assert (await api.run(prompt="1", max_tokens=3, sampling=GREEDY))[-1].event == "end"
    assert (await availability(api))[0]["total_capacity"] == 1


async def availability(api: CloudApi) -> list[dict]:
    """Every model that can be had."""
    return (await api.get("/v2/catalog/availability"))["models"]
