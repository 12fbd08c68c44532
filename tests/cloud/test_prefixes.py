"""Tasks go where their prompt was read before, on real engines."""

from collections.abc import Callable
from pathlib import Path

from demo_model import SLOW

from .calls import GREEDY, CloudApi
from .cluster import Cluster
from .of_home import Frame, Pool, text_of

LONG = "0123456789" * 380
CLOSE = 0.9
"""Less than this share of a prompt in the cache is not the same prompt."""


async def test_the_second_turn_goes_to_the_node_that_has_read_the_prefix(
    make_cluster: Callable[..., Cluster], models: Path, connect: Callable[[Cluster], CloudApi]
) -> None:
    cluster = make_cluster(placement_scorer="prefix")
    for name in ("node-a", "node-b"):
        cluster.node(name, Pool.of(models, SLOW, slots=2, ctx=8192)).start()
    cluster.control.start()
    api = connect(cluster)
    await api.all_placeable(*cluster.nodes)

    async def told(prompt: str, **more: object) -> tuple[list[Frame], dict]:
        task = {"model_ref": "slow", "max_tokens": 5, "sampling": GREEDY, "prompt": prompt}
        frames = await api.run(**task, **more)
        assert (frames[-1].event, text_of(frames)) == ("end", SLOW.expected_text(5))
        status = await api.get(f"/v2/tasks/{frames[0].data['task_id']}")
        return frames, status["placement"]

    first, placed = await told(LONG)
    warm = placed["node_id"]
    (cold,) = cluster.nodes.keys() - {warm}
    _, placed = await told("1", session_id="turn", placement={"mode": "pin", "node_id": cold})
    assert placed["node_id"] == cold
    beside = {"mode": "pin", "node_id": warm}
    busy = {"model_ref": "slow", "prompt": "1", "max_tokens": 2000, "placement": beside}
    async with api.open(**busy, on_disconnect="cancel") as stream:
        await stream.until("token")
        # By its load, or by where the session was before, the other node would come first.
        second, placed = await told(f"{LONG}0123456789", session_id="turn")
        assert placed["node_id"] == warm
        chosen, other = placed["candidates"]
        assert (other["node_id"], other["refused"]) == (cold, "not_first")
        assert chosen["estimate"]["prefill_ms"] < other["estimate"]["prefill_ms"] / 10
        assert chosen["estimate"]["total_ms"] < other["estimate"]["total_ms"]
        assert (await api.get("/v2/sessions/turn"))["kv_warmth"] > CLOSE
        assert second[-1].data["first_token_ms"] < first[-1].data["first_token_ms"] / 2
