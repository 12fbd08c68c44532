"""A model comes to a node from an object store, asked of the control plane."""

from collections.abc import Callable
from pathlib import Path

from demo_model import DEMO, ENDLESS, ensure

from .calls import GREEDY, CloudApi
from .cluster import Cluster
from .of_home import EVENT_STREAM, KEYS, ObjectStore, Pool, eventually, text_of

TOKENS = 32
LOST_BYTES = 128 * 1024 + 4096
"""At most, by a cut: what the client of the store had not handed over yet, and heads."""


async def test_a_node_fetches_from_s3_across_a_cut_and_serves_the_right_text(
    make_cluster: Callable[..., Cluster], models: Path, connect: Callable[[Cluster], CloudApi]
) -> None:
    content = ensure(models, spec=ENDLESS).read_bytes()
    half, whole = len(content) // 2, len(content)
    cluster = make_cluster()
    pool = Pool.of(models, DEMO, pool_id="main", ctx=4096, swap_models=True, min_residency_ms=0)
    async with ObjectStore.running() as store:
        await store.put("tiny/pulled.gguf", content)
        cluster.node("node-a", pool, AWS_ENDPOINT_URL=store.url, **KEYS).start()
        cluster.control.start()
        api = connect(cluster)
        await api.all_placeable("node-a")
        store.cuts = [half]
        pulled = await api.call(
            "POST",
            "/v2/catalog/models?node_id=node-a",
            json={"reference": "s3://models/tiny/pulled.gguf"},
            headers=EVENT_STREAM,
        )
        assert b"event: model\n" in pulled.body, pulled
        (first, second) = store.ranges
        assert first is None
        assert half - LOST_BYTES < int(second.removeprefix("bytes=").partition("-")[0]) < half
        assert whole < store.sent_bytes < whole + LOST_BYTES

    async def offered() -> bool:
        return "pulled" in (await api.pools())["node-a:main"]["loadable_models"]

    await eventually(offered, "the new model among those that can be loaded")
    frames = await api.run(model_ref="pulled", prompt="1", max_tokens=TOKENS, sampling=GREEDY)
    assert text_of(frames) == ENDLESS.expected_text(TOKENS), frames[-1]
