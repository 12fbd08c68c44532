"""Against a real llama.cpp: text, counts, refusals, and what a cancel leaves behind."""

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
    EngineReset,
    Progress,
    Result,
    Tokens,
)
from demo_model import DEMO, ENDLESS, RERANK, SLOW, ensure, expected_relevance
from llamacpp_http import LlamaCppAdapter
from worker_http import EngineClient

from .byte_relay import relay_to
from .real_engine import RealEngine, engine_running
from .tool_model import ARGUMENTS, TEMPLATE, TOOL, build_tool_model

MESSAGES = ({"role": "user", "content": "Who are you?"},)
COLD = {"temperature": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[RealEngine]:
    model = ensure(folder, spec=DEMO)
    with engine_running(model, folder / "demo.log", "n_parallel=2", "pooling=MEAN") as engine:
        yield engine


@pytest.fixture(scope="module")
def slow(folder: Path) -> Iterator[RealEngine]:
    model = ensure(folder, spec=SLOW)
    with engine_running(model, folder / "slow.log", "n_ctx=8192", "n_parallel=2") as engine:
        yield engine


@pytest.fixture(scope="module")
def tools(folder: Path) -> Iterator[RealEngine]:
    model = build_tool_model(folder / "tool.gguf")
    template = f"chat_template={TEMPLATE!r}"
    with engine_running(model, folder / "tool.log", "n_ctx=4096", template) as engine:
        yield engine


@asynccontextmanager
async def adapter_of(engine: RealEngine | str, **options: object) -> AsyncIterator[LlamaCppAdapter]:
    url = engine if isinstance(engine, str) else engine.url
    adapter = LlamaCppAdapter(url, **options)
    try:
        yield adapter
    finally:
        await adapter.close()


async def run(
    engine: RealEngine | str, **fields: object
) -> tuple[str, EngineFinish, list[EngineEvent]]:
    events: list[EngineEvent] = []
    async with adapter_of(engine) as adapter:
        finish = await adapter.run(EngineRequest(task_id="t", **fields), events.append)
    pieces = [piece for event in events if isinstance(event, Tokens) for piece in event.pieces]
    return "".join(pieces), finish, events


@pytest.mark.parametrize("way", [{"prompt": "Hi?"}, {"messages": MESSAGES}])
async def test_the_text_and_the_counts_are_exact(demo: RealEngine, way: dict[str, object]) -> None:
    text, finish, events = await run(demo, **way, sampling=COLD, seed=7)
    assert text == DEMO.expected_text()
    assert finish.finish_reason == "stop"
    assert finish.tokens_out == len(DEMO.pieces) + 1
    assert finish.tokens_in > 2
    assert finish.seed == 7
    assert finish.decode_ms is not None
    assert any(isinstance(event, Progress) for event in events)

    text, finish, _ = await run(demo, **way, sampling=COLD, max_tokens=3)
    assert text == DEMO.expected_text(3)
    assert (finish.finish_reason, finish.tokens_out) == ("length", 3)


async def test_the_seed_that_the_adapter_chose_repeats_the_text(demo: RealEngine) -> None:
    warm = {"temperature": 1.0}
    text, finish, _ = await run(demo, prompt="Hi?", sampling=warm, cache_prompt=False)
    assert finish.seed is not None
    for seed in (finish.seed, finish.seed):
        again, _, _ = await run(demo, prompt="Hi?", sampling=warm, cache_prompt=False, seed=seed)
        assert again == text
    _, anew, _ = await run(demo, prompt="Hi?", sampling=warm, seed=-1)
    assert anew.seed not in (-1, finish.seed)


@pytest.mark.parametrize("way", ["prompt", "messages"])
async def test_a_prompt_larger_than_a_slot_is_refused_with_the_numbers(
    demo: RealEngine, way: str
) -> None:
    long = "? " * 700
    fields = (
        {"prompt": long} if way == "prompt" else {"messages": [{"role": "user", "content": long}]}
    )
    with pytest.raises(EngineRefused, match=r"prompt has 1?[0-9]{3,} tokens and .* holds 512"):
        await run(demo, **fields)


@pytest.mark.parametrize("way", [{"prompt": "Hi?"}, {"messages": MESSAGES}])
async def test_a_text_cut_at_the_contexts_end_is_length(
    folder: Path, way: dict[str, object]
) -> None:
    model = ensure(folder, spec=ENDLESS)
    with engine_running(model, folder / "endless.log", "n_ctx=256") as engine:
        text, finish, _ = await run(engine, **way, sampling=COLD)
    assert finish.finish_reason == "length"
    assert finish.tokens_in + finish.tokens_out == 256
    assert text


@pytest.mark.parametrize("way", [{"prompt": "Hi?"}, {"messages": MESSAGES}])
async def test_sampling_reaches_the_engine(demo: RealEngine, way: dict[str, object]) -> None:
    first = DEMO.pieces[0].decode()
    async with adapter_of(demo) as adapter:
        [token] = await adapter.tokenize(first)
        assert await adapter.detokenize([token]) == first
    banned, _, _ = await run(
        demo, **way, sampling={**COLD, "logit_bias": {str(token): -100.0}}, max_tokens=3
    )
    assert not banned.startswith(first)
    word = DEMO.pieces[3].decode()
    stopped, finish, _ = await run(demo, **way, sampling={**COLD, "stop": (word,)})
    assert stopped == DEMO.expected_text(3)
    assert finish.finish_reason == "stop"
    everything = {
        "temperature": 0.1,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.01,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "grammar": "root ::= [ -~]+",
    }
    await run(demo, **way, sampling=everything, max_tokens=2)
    schema = {"enum": ["a"]}
    chosen, _, _ = await run(demo, **way, sampling={**COLD, "json_schema": schema}, max_tokens=9)
    assert chosen.strip() == '"a"'


@pytest.mark.parametrize("way", [{"prompt": "Hi?"}, {"messages": MESSAGES}])
async def test_log_probabilities_belong_to_their_pieces(
    demo: RealEngine, way: dict[str, object]
) -> None:
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
        {"prompt": "x", "sampling": {"grammar": "root ::= bad bad"}},
        {"prompt": "x", "sampling": {"json_schema": {"type": "wat"}}},
        {"messages": MESSAGES, "sampling": {"json_schema": {"type": "wat"}}},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"content": "my secret"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
            ]
        },
        {"prompt": "x", "seed": 2**32 - 1},
        {"prompt": "x", "sampling": {"mirostat": 2}},
        {"messages": MESSAGES, "tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
    ids=[
        "grammar",
        "schema",
        "schema-chat",
        "content",
        "no-role",
        "image",
        "seed",
        "unknown",
        "tools",
    ],
)
async def test_the_clients_own_errors_are_refusals_without_its_text(
    demo: RealEngine, fields: dict[str, object]
) -> None:
    with pytest.raises(EngineRefused) as refused:
        await run(demo, max_tokens=1, **fields)
    assert "secret" not in refused.value.message


async def test_embeddings_and_what_the_engine_says_of_itself(demo: RealEngine) -> None:
    _, finish, events = await run(demo, workload="embedding", inputs=["one", "two"])
    [result] = events
    assert isinstance(result, Result)
    assert len(result.data["embeddings"]) == 2
    assert finish.tokens_in > 0
    with pytest.raises(EngineRefused, match="takes 512 at once"):
        await run(demo, workload="embedding", inputs=["? " * 700])
    with pytest.raises(EngineRefused, match="does not support reranking"):
        await run(demo, workload="rerank", query="q", inputs=["a"])
    async with adapter_of(demo) as adapter:
        described = await adapter.describe()
        assert (await adapter.health()).ready
        assert "Who are you?" in await adapter.apply_template(MESSAGES)
    assert (described.slots, described.ctx_max) == (2, 512)
    assert described.workloads == ("completion", "embedding")
    assert "chat" in described.features


async def test_an_engine_without_pooling_offers_no_embeddings(folder: Path) -> None:
    model = ensure(folder, spec=DEMO)
    with engine_running(model, folder / "none.log", "pooling=NONE") as engine:
        async with adapter_of(engine) as adapter:
            assert (await adapter.describe()).workloads == ("completion",)


async def test_a_ranking_has_the_best_first(folder: Path) -> None:
    model = ensure(folder, spec=RERANK)
    with engine_running(model, folder / "rerank.log", "pooling=RANK") as engine:
        _, _, [result] = await run(
            engine, workload="rerank", query="q", inputs=["doc 1", "doc 9", "doc 5"]
        )
        async with adapter_of(engine) as adapter:
            assert (await adapter.describe()).workloads == ("completion", "rerank")
    assert isinstance(result, Result)
    ranking = result.data["ranking"]
    assert [entry["index"] for entry in ranking] == [1, 2, 0]
    assert ranking[0]["relevance_score"] == pytest.approx(expected_relevance("doc 9"), rel=1e-2)


@pytest.mark.parametrize("choice", [None, "auto", "required"])
async def test_a_tool_call_comes_beside_the_text(tools: RealEngine, choice: str | None) -> None:
    text, finish, events = await run(
        tools, messages=MESSAGES, tools=[TOOL], tool_choice=choice, sampling=COLD
    )
    calls = [
        call["function"]
        for event in events
        if isinstance(event, Tokens)
        for extra in event.extras or ()
        if extra is not None
        for call in extra["tool_calls"]
    ]
    assert (text, finish.finish_reason) == ("", "tool_calls")
    assert calls[0]["name"] == "look"
    assert json.loads("".join(call["arguments"] for call in calls)) == ARGUMENTS


async def test_without_a_call_for_tools_the_same_model_only_talks(tools: RealEngine) -> None:
    text, finish, _ = await run(
        tools, messages=MESSAGES, tools=[TOOL], tool_choice="none", sampling=COLD
    )
    assert "</tool_call>" in text
    assert finish.finish_reason == "stop"


async def test_a_wrong_key_is_the_operators_fault(folder: Path) -> None:
    model = ensure(folder, spec=DEMO)
    with engine_running(model, folder / "key.log", "api_keys=['right']") as engine:
        async with adapter_of(engine, api_key="wrong") as adapter:
            with pytest.raises(EngineFailed, match="key"):
                await adapter.run(EngineRequest(task_id="t", prompt="x"), lambda _: None)
            assert (await adapter.health()).live
        async with adapter_of(engine, api_key="right") as adapter:
            request = EngineRequest(task_id="t", prompt="x", max_tokens=1)
            assert (await adapter.run(request, lambda _: None)).tokens_out == 1


async def busy_slots(engine: RealEngine) -> int:
    client = EngineClient(engine.url)
    try:
        return (await client.request("GET", "/slots")).body.count(b'"is_processing":true')
    finally:
        await client.close()


@asynccontextmanager
async def begun(
    adapter: LlamaCppAdapter, kind: type[EngineEvent], task_id: str = "t", **fields: object
) -> AsyncIterator[asyncio.Task[EngineFinish]]:
    """A run of which the first event of this kind has come."""
    seen = asyncio.Event()

    def watch(event: EngineEvent) -> None:
        if isinstance(event, kind):
            seen.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(adapter.run(EngineRequest(task_id=task_id, **fields), watch))
        await seen.wait()
        try:
            yield task
        finally:
            task.cancel()


LONG_PROMPT = "? " * 1_800


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("kind", [Progress, Tokens])
async def test_a_cancel_frees_the_slot_and_leaves_others_alone(
    slow: RealEngine, kind: type[EngineEvent], chat: bool
) -> None:
    text = LONG_PROMPT if kind is Progress else "Hi?"
    fields = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
    async with adapter_of(slow) as adapter, asyncio.timeout(30):
        async with begun(adapter, Tokens, task_id="other", prompt="Hi?") as other:
            async with begun(adapter, kind, cache_prompt=False, **fields) as mine:
                assert await busy_slots(slow) == 2
                mine.cancel()
            assert await adapter.confirm_stopped("t", timeout_ms=5_000)
            assert await busy_slots(slow) == 1
            assert not other.done()
        assert await adapter.confirm_stopped("other", timeout_ms=5_000)
        assert await busy_slots(slow) == 0


async def test_a_cancelled_request_that_waits_in_the_engine_is_not_called_gone(
    folder: Path,
) -> None:
    model = ensure(folder, spec=SLOW)
    with engine_running(model, folder / "queue.log", "n_parallel=1", "n_ctx=4096") as engine:
        client = EngineClient(engine.url)
        async with adapter_of(engine) as adapter, asyncio.timeout(30):
            async with begun(adapter, Tokens, task_id="other", prompt="Hi?"):
                async with asyncio.TaskGroup() as group:
                    request = EngineRequest(task_id="t", prompt="Hi?")
                    waiting = group.create_task(adapter.run(request, lambda _: None))
                    while b"deferred 1" not in (await client.request("GET", "/metrics")).body:
                        assert not waiting.done()
                    waiting.cancel()
                assert not await adapter.confirm_stopped("t", timeout_ms=1_500)
            assert await adapter.confirm_stopped("t", timeout_ms=5_000)
            assert await adapter.confirm_stopped("other", timeout_ms=5_000)
            assert await busy_slots(engine) == 0
        await client.close()


@pytest.mark.parametrize("way", [{"prompt": "Hi?"}, {"messages": MESSAGES}])
async def test_a_real_stream_survives_a_cut_after_every_byte(
    demo: RealEngine, way: dict[str, object]
) -> None:
    async with relay_to(demo.url, size=1) as url:
        text, finish, _ = await run(url, **way, sampling=COLD)
    assert text == DEMO.expected_text()
    assert finish.tokens_out == len(DEMO.pieces) + 1


@pytest.mark.parametrize("kind", [Progress, Tokens])
async def test_a_cancel_through_a_relay_without_half_close_is_confirmed(
    slow: RealEngine, kind: type[EngineEvent]
) -> None:
    text = LONG_PROMPT if kind is Progress else "Hi?"
    async with relay_to(slow.url) as url, adapter_of(url) as adapter, asyncio.timeout(30):
        async with begun(adapter, kind, prompt=text, cache_prompt=False) as task:
            task.cancel()
        assert await adapter.confirm_stopped("t", timeout_ms=5_000)
        assert await busy_slots(slow) == 0


async def test_a_killed_engine_is_a_reset_and_has_let_go(folder: Path) -> None:
    model = ensure(folder, spec=SLOW)
    with engine_running(model, folder / "killed.log", "n_ctx=4096") as engine:
        async with adapter_of(engine) as adapter, asyncio.timeout(20):
            with pytest.RaisesGroup(EngineReset):
                async with begun(adapter, Tokens, prompt="Hi?") as task:
                    engine.kill()
                    await asyncio.wait([task])
            assert await adapter.confirm_stopped("t")
            assert not (await adapter.health()).live


async def test_an_unknown_task_has_stopped() -> None:
    adapter = LlamaCppAdapter("http://127.0.0.1:1")
    assert await adapter.confirm_stopped("never seen")
