"""Against a real server of the dialect: llama.cpp's own `/v1`."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapter_api import (
    EngineEvent,
    EngineFailed,
    EngineFinish,
    EngineRefused,
    EngineRequest,
    Progress,
    Result,
    Tokens,
)
from demo_model import DEMO, RERANK, SLOW, ensure
from openai_http import LLAMACPP, OpenAiAdapter
from worker_http import EngineClient

from .real_engine import engine_running

COLD = {"temperature": 0}
WAYS = [{"prompt": "Hi?"}, {"messages": ({"role": "user", "content": "Who are you?"},)}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[str]:
    with engine_running(ensure(folder, spec=DEMO), folder / "demo.log", "pooling=MEAN") as url:
        yield url


@pytest.fixture(scope="module")
def slow(folder: Path) -> Iterator[str]:
    with engine_running(ensure(folder, spec=SLOW), folder / "slow.log", "n_ctx=8192") as url:
        yield url


@asynccontextmanager
async def adapter_of(url: str, **options: object) -> AsyncIterator[OpenAiAdapter]:
    adapter = OpenAiAdapter(url, **options)
    try:
        yield adapter
    finally:
        await adapter.close()


async def run(url: str, **fields: object) -> tuple[str, EngineFinish, list[EngineEvent]]:
    events: list[EngineEvent] = []
    async with adapter_of(url) as adapter:
        finish = await adapter.run(EngineRequest(task_id="t", **fields), events.append)
    pieces = [piece for event in events if isinstance(event, Tokens) for piece in event.pieces]
    return "".join(pieces), finish, events


@pytest.mark.parametrize("way", WAYS)
async def test_the_text_and_the_counts_are_exact(demo: str, way: dict[str, object]) -> None:
    text, finish, events = await run(demo, **way, sampling=COLD, seed=7)
    assert text == DEMO.expected_text()
    assert (finish.finish_reason, finish.seed) == ("stop", 7)
    assert finish.tokens_out == len(DEMO.pieces) + 1
    assert finish.tokens_in > 2
    assert any(isinstance(event, Progress) for event in events)
    text, finish, _ = await run(demo, **way, sampling=COLD, max_tokens=3)
    assert text == DEMO.expected_text(3)
    assert (finish.finish_reason, finish.tokens_out) == ("length", 3)


@pytest.mark.parametrize("way", WAYS)
async def test_a_lost_answer_goes_on_where_it_broke(demo: str, way: dict[str, object]) -> None:
    said = DEMO.expected_text(3)
    text, _, _ = await run(demo, **way, sampling=COLD, text_so_far=said)
    assert said + text == DEMO.expected_text()


@pytest.mark.parametrize("way", WAYS)
async def test_sampling_reaches_the_engine(demo: str, way: dict[str, object]) -> None:
    first = DEMO.pieces[0].decode()
    async with adapter_of(demo) as adapter:
        [token] = await adapter.tokenize(first)
    banned = {**COLD, "logit_bias": {str(token): -100.0}}
    text, _, _ = await run(demo, **way, sampling=banned, max_tokens=3)
    assert not text.startswith(first)
    stopping = {**COLD, "stop": (DEMO.pieces[3].decode(),)}
    text, finish, _ = await run(demo, **way, sampling=stopping)
    assert (text, finish.finish_reason) == (DEMO.expected_text(3), "stop")
    chosen = {**COLD, "json_schema": {"enum": ["a"]}}
    text, _, _ = await run(demo, **way, sampling=chosen, max_tokens=9)
    assert text.strip() == '"a"'
    bound = {**COLD, "grammar": 'root ::= "zz"'}
    assert (await run(demo, **way, sampling=bound, max_tokens=9))[0] == "zz"


@pytest.mark.parametrize("way", WAYS)
async def test_log_probabilities_belong_to_their_pieces(demo: str, way: dict[str, object]) -> None:
    _, _, events = await run(demo, **way, sampling={**COLD, "logprobs": 2}, max_tokens=4)
    pairs = [
        (piece, extra)
        for event in events
        if isinstance(event, Tokens)
        for piece, extra in zip(event.pieces, event.extras or (), strict=True)
    ]
    assert len(pairs) == 4
    for piece, extra in pairs:
        [entry] = extra["logprobs"]
        assert entry["token"] == piece
        assert len(entry["top_logprobs"]) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "? " * 900},
        {"prompt": "x", "sampling": {"grammar": "root ::= bad bad"}},
        {"messages": WAYS[1]["messages"], "sampling": {"json_schema": {"type": "wat"}}},
        {"prompt": "x", "seed": 2**32 - 1},
        {"prompt": "x", "sampling": {"mirostat": 2}},
        {"workload": "rerank", "query": "q", "inputs": ["a"]},
    ],
    ids=["context", "grammar", "schema", "seed", "unknown", "rerank"],
)
async def test_the_clients_own_errors_are_refusals(demo: str, fields: dict[str, object]) -> None:
    with pytest.raises(EngineRefused):
        await run(demo, **fields)


async def test_embeddings_and_what_the_engine_says_of_itself(demo: str) -> None:
    _, finish, [result] = await run(demo, workload="embedding", inputs=["one", "two"])
    assert isinstance(result, Result)
    assert len(result.data["embeddings"]) == 2
    assert finish.tokens_in > 0
    async with adapter_of(demo) as adapter:
        assert (await adapter.health()).ready
        described = await adapter.describe()
    assert (described.slots, described.ctx_max) == (2, 512)
    assert described.workloads == ("completion", "embedding")
    assert described.features == LLAMACPP.features
    assert described.model is not None
    assert described.model.endswith(".gguf")


async def test_a_ranking_has_the_best_first(folder: Path) -> None:
    model = ensure(folder, spec=RERANK)
    with engine_running(model, folder / "rerank.log", "pooling=RANK") as url:
        documents = ["doc 1", "doc 9", "doc 5"]
        _, _, [result] = await run(url, workload="rerank", query="q", inputs=documents)
        async with adapter_of(url) as adapter:
            assert (await adapter.describe()).workloads == ("completion", "rerank")
    assert isinstance(result, Result)
    assert [entry["index"] for entry in result.data["ranking"]] == [1, 2, 0]


async def test_a_wrong_key_is_the_operators_fault(folder: Path) -> None:
    model = ensure(folder, spec=DEMO)
    with engine_running(model, folder / "key.log", "api_keys=['right']") as url:
        request = EngineRequest(task_id="t", prompt="x", max_tokens=1)
        async with adapter_of(url, api_key="wrong") as adapter:
            with pytest.raises(EngineFailed, match="key"):
                await adapter.run(request, lambda _: None)
        async with adapter_of(url, api_key="right") as adapter:
            assert (await adapter.run(request, lambda _: None)).tokens_out == 1


async def busy_slots(url: str) -> int:
    client = EngineClient(url)
    try:
        slots = json.loads((await client.request("GET", "/slots")).body)
        return sum(slot["is_processing"] for slot in slots)
    finally:
        await client.close()


@asynccontextmanager
async def begun(adapter: OpenAiAdapter, task_id: str, **fields: object) -> AsyncIterator[object]:
    """A run that has given its first token, and is cancelled at the end of the block."""
    seen = asyncio.Event()
    watch = lambda event: seen.set() if isinstance(event, Tokens) else None  # noqa: E731
    async with asyncio.TaskGroup() as group:
        task = group.create_task(adapter.run(EngineRequest(task_id=task_id, **fields), watch))
        await seen.wait()
        try:
            yield task
        finally:
            task.cancel()


@pytest.mark.parametrize("way", WAYS)
async def test_a_cancel_frees_the_slot_and_leaves_others_alone(
    slow: str, way: dict[str, object]
) -> None:
    async with adapter_of(slow) as adapter, asyncio.timeout(30):
        async with begun(adapter, "other", prompt="Hi?"):
            async with begun(adapter, "t", **way):
                assert await busy_slots(slow) == 2
            assert await adapter.confirm_stopped("t", timeout_ms=5_000)
            assert await busy_slots(slow) == 1
        assert await adapter.confirm_stopped("other", timeout_ms=5_000)
        assert await busy_slots(slow) == 0


async def test_a_dead_engine_has_let_go(folder: Path) -> None:
    async with asyncio.timeout(30):
        with engine_running(ensure(folder, spec=SLOW), folder / "dead.log") as url:
            adapter = OpenAiAdapter(url)
            async with begun(adapter, "t", prompt="Hi?"):
                pass
        assert await adapter.confirm_stopped("t", timeout_ms=5_000)
        assert not (await adapter.health()).live
        await adapter.close()
