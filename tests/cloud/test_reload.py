"""A pool of a node takes another model, asked of the control plane."""

from collections.abc import Callable
from pathlib import Path

from demo_model import DEMO, SLOW, ensure

from .calls import GREEDY, CloudApi
from .cluster import Cluster
from .of_home import Pool, eventually, text_of


async def test_a_reload_is_passed_on_and_the_new_model_serves(
    make_cluster: Callable[..., Cluster], models: Path, connect: Callable[[Cluster], CloudApi]
) -> None:
    cluster = make_cluster()
    cluster.node("node-a", Pool.of(models, SLOW, pool_id="main", ctx=4096)).start()
    cluster.control.start()
    api = connect(cluster)
    new = ensure(models, spec=DEMO)

    async def serves() -> bool:
        pool = (await api.pools())["node-a:main"]
        return bool(pool["ready"] and pool["model_id"] == new.stem)

    await api.all_placeable("node-a")
    wish = {"new_model_ref": f"file:{new}"}
    answer = await api.call("POST", "/v2/pools/main/reload", json=wish)
    assert (answer.status, answer.json()["pool_id"]) == (202, "node-a:main")
    await eventually(serves, "the new model", within_s=30)
    frames = await api.run(model_ref=new.stem, prompt="1", max_tokens=32, sampling=GREEDY)
    assert frames[-1].event == "end", frames[-1]
    assert text_of(frames) == DEMO.expected_text(32)


async def test_a_purge_is_passed_on_and_a_task_brings_the_pool_back(
    make_cluster: Callable[..., Cluster], models: Path, connect: Callable[[Cluster], CloudApi]
) -> None:
    cluster = make_cluster()
    pool = Pool.of(models, DEMO, pool_id="main")
    cluster.node("node-a", pool).start()
    cluster.control.start()
    api = connect(cluster)
    await api.all_placeable("node-a")

    async def rests() -> bool:
        return bool((await api.pools())["node-a:main"]["state"] == "stopped")

    wish = {"delete_cache_dirs": True}
    answer = await api.call("POST", "/v2/pools/main/purge", json=wish)
    assert (answer.status, answer.json()["pool_id"]) == (202, "node-a:main")
    await eventually(rests, "no engine", within_s=30)
    frames = await api.run(model_ref=pool.model.stem, prompt="1", max_tokens=32, sampling=GREEDY)
    assert frames[-1].event == "end", frames[-1]
    assert text_of(frames) == DEMO.expected_text(32)
