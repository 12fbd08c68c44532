"""Nodes swap models by what tasks wait for at the control plane."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catalog_core import Catalog
from demo_model import DEMO, ENDLESS, Recital, ensure
from model_provisioner import ModelProvisioner

from .calls import GREEDY, CloudApi
from .cluster import Cluster
from .of_home import Frame, Pool, check_grammar, eventually, text_of

MAX_WAIT_MS = 1_000
TOKENS = 24


async def node_with(cluster: Cluster, name: str, models: Path, *recitals: Recital) -> None:
    """Start a node whose disk has these models, and whose pool serves the first."""
    swapping = {"pool_id": "main", "slots": 2, "ctx": 4096, "swap_models": True}
    node = cluster.node(name, Pool.of(models, recitals[0], min_residency_ms=500, **swapping))
    home = node.folder / "data"
    provisioner = ModelProvisioner(
        Catalog(home / "catalog"), base=home / "models", now_ms=lambda: int(time.time() * 1000)
    )
    for recital in recitals:
        await provisioner.ensure(f"file:{ensure(models, spec=recital)}")
    node.start()


async def recite(api: CloudApi, model: str) -> list[Frame]:
    frames = await api.run(model_ref=model, prompt="1", max_tokens=TOKENS, sampling=GREEDY)
    check_grammar(frames)
    return frames


async def test_alternating_tasks_of_two_models_swap_the_pool_of_a_node(
    make_cluster: Callable[..., Cluster], models: Path, connect: Callable[[Cluster], CloudApi]
) -> None:
    cluster = make_cluster(batch_max_wait_ms=MAX_WAIT_MS)
    await node_with(cluster, "node-a", models, DEMO, ENDLESS)
    cluster.control.start()
    api = connect(cluster)
    await api.all_placeable("node-a")
    recitals = {ensure(models, spec=recital).stem: recital for recital in (DEMO, ENDLESS)}
    names = list(recitals)

    async def status() -> Any:
        return (await api.pools())["node-a:main"]

    await eventually(lambda: _offers(status, set(names)), "what the node could load")
    cards = (await api.get("/v1/models"))["data"]
    assert {card["id"]: card["llama_orch"]["ready"] for card in cards} == {
        names[0]: True,
        names[1]: False,
    }
    before = (await status())["replicas"][0]["generation"]
    async with asyncio.TaskGroup() as group:
        running = [
            (name, group.create_task(recite(api, name)))
            for name in (names[number % 2] for number in range(40))
        ]
    for name, task in running:
        assert text_of(task.result()) == recitals[name].expected_text(TOKENS), task.result()[-1]
    swaps = (await status())["replicas"][0]["generation"] - before
    assert 1 <= swaps <= 12
    steps = [step for _, task in running for f in task.result() for step in f.data.get("prep", ())]
    assert "load" in steps


async def test_two_nodes_serve_a_model_each_when_both_are_asked_for(
    make_cluster: Callable[..., Cluster], models: Path, connect: Callable[[Cluster], CloudApi]
) -> None:
    cluster = make_cluster(batch_max_wait_ms=MAX_WAIT_MS)
    for name in ("node-a", "node-b"):
        await node_with(cluster, name, models, DEMO, ENDLESS)
    cluster.control.start()
    api = connect(cluster)
    await api.all_placeable("node-a", "node-b")
    recitals = {ensure(models, spec=recital).stem: recital for recital in (DEMO, ENDLESS)}
    for _ in range(2):
        for name, recital in recitals.items():
            assert text_of(await recite(api, name)) == recital.expected_text(TOKENS)
    canceled = await api.submit(model_ref=list(recitals)[1], prompt="1", max_tokens=TOKENS)
    await api.cancel(canceled["task_id"])
    for name, recital in recitals.items():
        assert text_of(await recite(api, name)) == recital.expected_text(TOKENS)


async def _offers(status: Callable[[], Any], names: set[str]) -> bool:
    found = await status()
    return set(found["loadable_models"]) == names and found["ready"]
