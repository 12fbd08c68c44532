"""A real vLLM behind a node's relay, in CLOUD."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from vllm_http import EngineLoad, VllmAdapter

from .asking import LONG_TOKENS, MODEL, WAYS, asked_plainly, said_by
from .borrowed import (
    CLIENT_KEY,
    CloudApi,
    Cluster,
    Wires,
    check_grammar,
    eventually,
    text_of,
)
from .handing import external_pool, hand_over
from .installed import EngineProcess
from .vllm_server import CTX, SEQUENCES

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def cluster(vllm: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cloud") / "cluster"
    with Wires() as wires, Cluster.at(folder, wires) as cluster:
        cluster.control.start()
        table = external_pool("theirs", "vllm", SEQUENCES)
        table["pools.provisioning"] = table.pop("provisioning")  # of the pool above it
        pool: Any = SimpleNamespace(table=table)
        node = cluster.node("node-a", pool).start()
        place = node.folder / "data" / "engines"
        hand_over(vllm, place, pool_id="theirs", kind="vllm", slots=SEQUENCES, ctx=CTX)
        yield cluster


async def test_its_text_comes_through_the_relay_and_a_cancel_goes_there(
    vllm: EngineProcess, cluster: Cluster
) -> None:
    sampling, asked = {"temperature": 1.0}, {"max_tokens": 24, "seed": 7}
    own = [await asked_plainly(vllm, way, **asked, **sampling) for way in WAYS.values()]
    adapter = VllmAdapter(vllm.url, api_key=vllm.key)

    async def idle() -> bool:
        return await adapter.load() == EngineLoad(0, 0)

    headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        api = CloudApi(cluster.control, session)
        await api.all_placeable("node-a", within_s=60)
        for way, answer in zip(WAYS.values(), own, strict=True):
            frames = await api.run(model_ref=MODEL, sampling=sampling, **asked, **way)
            check_grammar(frames)
            assert text_of(frames) == said_by(answer)
            assert frames[-1].data["tokens_in"] == answer["usage"]["prompt_tokens"]
            assert frames[-1].data["tokens_out"] == 24
        task = {"model_ref": MODEL, "prompt": "Hello", "max_tokens": LONG_TOKENS}
        async with api.open(**task) as stream:
            await stream.until("token")
            assert await adapter.load() == EngineLoad(1, 0)
            await api.cancel(stream.task_id)
            assert (await stream.rest())[-1].data["code"] == "CANCELED"
        await eventually(idle, "an engine without work", within_s=30)
    await adapter.close()
