"""The adapter of OpenAI-compatible engines against a real SGLang."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapter_api import EngineFailed, EngineRefused
from adapter_api.conformance import CHECKS, Check
from openai_http import SGLANG, OpenAiAdapter
from worker_http.openai_dialect.testing import AsChat

from .asking import (
    GREEDY,
    LONG_TOKENS,
    MODEL,
    WAYS,
    asked_plainly,
    begun,
    extras_of,
    message_tokens,
    said,
    said_by,
)
from .borrowed import eventually
from .installed import EngineProcess
from .sglang_server import CTX
from .wired import Steering, WiredEngine

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]

STEERING = Steering("ebnf", CTX, message_tokens)
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
async def adapter(sglang: EngineProcess) -> AsyncIterator[OpenAiAdapter]:
    adapter = OpenAiAdapter(sglang.url, api_key=sglang.key)
    yield adapter
    await adapter.close()


@pytest.fixture(params=["completion", "chat"])
async def wired(
    sglang: EngineProcess, request: pytest.FixtureRequest
) -> AsyncIterator[WiredEngine]:
    def make(url: str, key: str) -> OpenAiAdapter | AsChat:
        adapter = OpenAiAdapter(url, api_key=key)
        return AsChat(adapter) if request.param == "chat" else adapter

    async with WiredEngine(sglang, make, STEERING).running() as engine:
        yield engine


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms(check: Check, wired: WiredEngine) -> None:
    await check(wired)


async def test_it_says_what_it_is(adapter: OpenAiAdapter) -> None:
    assert (await adapter.health()).ready
    described = await adapter.describe()
    assert (described.engine, described.model, described.ctx_max) == ("openai", MODEL, CTX)
    assert described.workloads == ("completion",)
    assert described.features == SGLANG.features


@each_way
async def test_the_text_and_the_counts_are_the_engines_own(
    sglang: EngineProcess, adapter: OpenAiAdapter, way: dict[str, Any]
) -> None:
    own = await asked_plainly(sglang, way, temperature=0, max_tokens=48)
    text, finish, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=48)
    assert text == said_by(own)
    assert (finish.finish_reason, own["choices"][0]["finish_reason"]) == ("length", "length")
    assert (finish.tokens_in, finish.tokens_out) == (own["usage"]["prompt_tokens"], 48)


@each_way
async def test_a_stop_string_ends_the_text_before_it(
    adapter: OpenAiAdapter, way: dict[str, Any]
) -> None:
    whole, _, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=48)
    stop = whole[20:26]
    sampling = {**GREEDY, "stop": ("nowhere", stop)}
    text, finish, _ = await said(adapter, **way, sampling=sampling, max_tokens=48)
    assert text == whole.partition(stop)[0]
    assert finish.finish_reason == "stop"


async def test_no_seed_is_told_that_would_repeat_nothing(adapter: OpenAiAdapter) -> None:
    _, finish, _ = await said(adapter, prompt="Hello", max_tokens=2)
    assert finish.seed is None, "it heeds one only with --enable-deterministic-inference"


@each_way
async def test_a_lost_answer_goes_on_where_it_broke(
    adapter: OpenAiAdapter, way: dict[str, Any]
) -> None:
    whole, _, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=24)
    lost, _, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=8)
    rest, _, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=16, text_so_far=lost)
    assert lost + rest == whole


@each_way
async def test_log_probabilities_belong_to_their_pieces(
    adapter: OpenAiAdapter, way: dict[str, Any]
) -> None:
    sampling = {**GREEDY, "logprobs": 2}
    _, finish, events = await said(adapter, **way, sampling=sampling, max_tokens=6)
    pairs = extras_of(events)
    assert finish.tokens_out == sum(len(extra["logprobs"]) for _, extra in pairs) == 6
    for piece, extra in pairs:
        assert "".join(entry["token"] for entry in extra["logprobs"]) == piece
        for entry in extra["logprobs"]:
            assert entry["logprob"] <= 0
            assert len(entry["top_logprobs"]) == 2
            assert entry["token"] in {other["token"] for other in entry["top_logprobs"]}


@each_way
async def test_an_answer_keeps_to_its_schema_or_grammar(
    adapter: OpenAiAdapter, way: dict[str, Any]
) -> None:
    # A schema that leaves blanks free lets this model say nothing else.
    sampling = {**GREEDY, "json_schema": {"enum": ["yes", "no"]}}
    text, finish, _ = await said(adapter, **way, sampling=sampling, max_tokens=64)
    assert json.loads(text) in {"yes", "no"}
    assert finish.finish_reason == "stop"
    text, _, _ = await said(
        adapter, **way, sampling={"grammar": 'root ::= "yes" | "no"'}, max_tokens=9
    )
    assert text in {"yes", "no"}


async def test_an_answer_without_a_limit_fills_the_context(adapter: OpenAiAdapter) -> None:
    prompt = " 7" * (CTX - 40)
    _, finish, _ = await said(adapter, prompt=prompt, sampling=GREEDY)
    assert finish.finish_reason == "length"
    assert CTX - 2 <= finish.tokens_in + finish.tokens_out <= CTX, "it keeps two to itself"
    assert finish.tokens_out > 16, "OpenAI's default"


@each_way
@pytest.mark.parametrize(
    "fields",
    [
        {"sampling": {"grammar": "root ::= bad bad"}},
        {"sampling": {"json_schema": {"type": "wat"}}},
        {"sampling": {"mirostat": 2}},
        {"sampling": {"top_p": 7.0}},
        {"seed": 2**63},
        {"max_tokens": CTX + 1},
    ],
    ids=["grammar", "schema", "unknown", "top_p", "seed", "max_tokens"],
)
async def test_the_clients_own_errors_are_refusals(
    adapter: OpenAiAdapter, way: dict[str, Any], fields: dict[str, Any]
) -> None:
    with pytest.raises(EngineRefused):
        await said(adapter, **{"max_tokens": 4, **way, **fields})


async def test_a_model_that_generates_gives_no_embeddings(adapter: OpenAiAdapter) -> None:
    with pytest.raises(EngineRefused):
        await said(adapter, workload="embedding", inputs=("one",))
    with pytest.raises(EngineRefused):
        await said(adapter, workload="rerank", query="q", inputs=("one",))


async def test_a_wrong_key_is_the_operators_fault(sglang: EngineProcess) -> None:
    stranger = OpenAiAdapter(sglang.url, api_key="wrong")
    with pytest.raises(EngineFailed, match="key"):
        await said(stranger, prompt="x", max_tokens=1)
    await stranger.close()


def running(engine: EngineProcess) -> int:
    """What SGLang counts as running and waiting; it counts once a while, not at each change."""
    metrics = engine.fetch("/metrics").decode()
    found = re.findall(r"^sglang:num_(?:running|queue)_reqs{.*} (\S+)$", metrics, re.MULTILINE)
    assert len(found) == 2
    return round(sum(map(float, found)))


@each_way
async def test_a_cancel_while_decoding_frees_the_engine(
    sglang: EngineProcess, adapter: OpenAiAdapter, way: dict[str, Any]
) -> None:
    async with begun(adapter, "t", **way, max_tokens=LONG_TOKENS):
        pass
    assert await adapter.confirm_stopped("t", timeout_ms=5_000)

    async def idle() -> bool:
        return await asyncio.to_thread(running, sglang) == 0

    await eventually(idle, "an engine that counts nothing", within_s=60)


async def test_a_cancel_in_the_prompt_is_confirmed(
    sglang: EngineProcess, adapter: OpenAiAdapter
) -> None:
    prompt = " 199" + " 8" * (CTX - 100)
    async with begun(adapter, "t", wait=False, prompt=prompt, max_tokens=9) as events:
        await asyncio.sleep(0)  # the request leaves
    assert not events
    assert await adapter.confirm_stopped("t", timeout_ms=5_000)
