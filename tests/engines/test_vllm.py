"""The adapter of vLLM against a real one."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapter_api import EngineFailed, EngineRefused
from adapter_api.conformance import CHECKS, Check
from vllm_http import VLLM, EngineLoad, VllmAdapter
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
from .vllm_server import CTX, SEQUENCES
from .wired import Steering, WiredEngine

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]

STEERING = Steering("structured_outputs.grammar", CTX, message_tokens)
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
async def adapter(vllm: EngineProcess) -> AsyncIterator[VllmAdapter]:
    adapter = VllmAdapter(vllm.url, api_key=vllm.key)
    yield adapter
    await adapter.close()


@pytest.fixture(params=["completion", "chat"])
async def wired(vllm: EngineProcess, request: pytest.FixtureRequest) -> AsyncIterator[WiredEngine]:
    def make(url: str, key: str) -> VllmAdapter | AsChat:
        adapter = VllmAdapter(url, api_key=key)
        return AsChat(adapter) if request.param == "chat" else adapter

    async with WiredEngine(vllm, make, STEERING).running() as engine:
        yield engine


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms(check: Check, wired: WiredEngine) -> None:
    await check(wired)


async def test_it_says_what_it_is(adapter: VllmAdapter) -> None:
    assert (await adapter.health()).ready
    assert (await adapter.probe()).ready
    described = await adapter.describe()
    assert (described.engine, described.model, described.ctx_max) == ("vllm", MODEL, CTX)
    assert re.fullmatch(r"0\.\d+\.\d+.*", described.engine_version or "")
    assert described.workloads == ("completion",)
    assert described.features == VLLM.features


@each_way
async def test_the_text_and_the_counts_are_the_engines_own(
    vllm: EngineProcess, adapter: VllmAdapter, way: dict[str, Any]
) -> None:
    own = await asked_plainly(vllm, way, temperature=0, max_tokens=48)
    text, finish, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=48)
    assert text == said_by(own)
    assert (finish.finish_reason, own["choices"][0]["finish_reason"]) == ("length", "length")
    assert (finish.tokens_in, finish.tokens_out) == (own["usage"]["prompt_tokens"], 48)


@each_way
async def test_a_stop_string_ends_the_text_before_it(
    adapter: VllmAdapter, way: dict[str, Any]
) -> None:
    whole, _, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=48)
    stop = whole[20:26]
    sampling = {**GREEDY, "stop": ("nowhere", stop)}
    text, finish, _ = await said(adapter, **way, sampling=sampling, max_tokens=48)
    assert text == whole.partition(stop)[0]
    assert finish.finish_reason == "stop"


@each_way
async def test_a_seed_repeats_itself(adapter: VllmAdapter, way: dict[str, Any]) -> None:
    asked = {**way, "max_tokens": 32, "sampling": {"temperature": 1.0}}
    texts = [(await said(adapter, **asked, seed=seed))[0] for seed in (1, 2, 1)]
    assert texts[0] == texts[2] != texts[1]
    assert (await said(adapter, **asked, seed=1))[1].seed == 1


@each_way
async def test_a_lost_answer_goes_on_where_it_broke(
    adapter: VllmAdapter, way: dict[str, Any]
) -> None:
    whole, _, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=24)
    lost, _, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=8)
    rest, _, _ = await said(adapter, **way, sampling=GREEDY, max_tokens=16, text_so_far=lost)
    assert lost + rest == whole


@each_way
async def test_log_probabilities_belong_to_their_pieces(
    adapter: VllmAdapter, way: dict[str, Any]
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
    adapter: VllmAdapter, way: dict[str, Any]
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


async def test_an_answer_without_a_limit_fills_the_context(adapter: VllmAdapter) -> None:
    prompt = " 7" * (CTX - 40)
    _, finish, _ = await said(adapter, prompt=prompt, sampling=GREEDY)
    assert finish.finish_reason == "length"
    assert finish.tokens_in + finish.tokens_out == CTX
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
    adapter: VllmAdapter, way: dict[str, Any], fields: dict[str, Any]
) -> None:
    with pytest.raises(EngineRefused):
        await said(adapter, **{"max_tokens": 4, **way, **fields})


async def test_a_model_that_generates_gives_no_embeddings(adapter: VllmAdapter) -> None:
    with pytest.raises(EngineRefused):
        await said(adapter, workload="embedding", inputs=("one",))
    with pytest.raises(EngineRefused):
        await said(adapter, workload="rerank", query="q", inputs=("one",))


async def test_a_wrong_key_is_the_operators_fault(vllm: EngineProcess) -> None:
    stranger = VllmAdapter(vllm.url, api_key="wrong")
    with pytest.raises(EngineFailed, match="key"):
        await said(stranger, prompt="x", max_tokens=1)
    assert (await stranger.health()).ready, "vLLM asks for no key there"
    await stranger.close()


async def no_work(adapter: VllmAdapter) -> bool:
    """Whether vLLM counts nothing to do."""
    return await adapter.load() == EngineLoad(0, 0)


@each_way
async def test_a_cancel_while_decoding_frees_the_sequence(
    adapter: VllmAdapter, way: dict[str, Any]
) -> None:
    async with begun(adapter, "other", prompt="Hi", max_tokens=LONG_TOKENS):
        async with begun(adapter, "t", **way, max_tokens=LONG_TOKENS):
            pass
        assert await adapter.confirm_stopped("t", timeout_ms=5_000)
        assert await adapter.load() == EngineLoad(running=1, waiting=0)
    assert await adapter.confirm_stopped("other", timeout_ms=5_000)
    assert await no_work(adapter)


async def test_a_cancel_in_the_prompt_ends_it_there(
    vllm: EngineProcess, adapter: VllmAdapter
) -> None:
    before = counter(vllm, "generation_tokens_total")
    prompt = " 199" + " 8" * (CTX - 100)
    async with begun(adapter, "t", wait=False, prompt=prompt, max_tokens=9) as events:

        async def works() -> bool:
            return (await adapter.load() or EngineLoad(0, 0)).running == 1

        await eventually(works, "a prompt under way")
    assert await adapter.confirm_stopped("t", timeout_ms=5_000)
    assert not events
    assert await no_work(adapter)
    assert counter(vllm, "generation_tokens_total") == before, "it went on to the first token"


async def test_a_cancel_in_the_queue_takes_it_out(adapter: VllmAdapter) -> None:
    long = {"prompt": "Hello", "max_tokens": LONG_TOKENS, "sampling": {"temperature": 1.0}}

    async def full() -> bool:
        return await adapter.load() == EngineLoad(SEQUENCES, 1)

    async with (
        begun(adapter, "a", **long),
        begun(adapter, "b", **long),
        begun(adapter, "c", **long),
        begun(adapter, "d", **long),
    ):
        async with begun(adapter, "queued", wait=False, **long) as events:
            await eventually(full, "a request that waits")
        assert not events
        assert await adapter.confirm_stopped("queued", timeout_ms=5_000)
        assert await adapter.load() == EngineLoad(SEQUENCES, 0)
    for name in "abcd":
        assert await adapter.confirm_stopped(name, timeout_ms=5_000)
    assert await no_work(adapter)


def counter(engine: EngineProcess, name: str) -> float:
    """One of vLLM's own counters."""
    found = re.search(
        rf"^vllm:{name}{{.*}} (\S+)$", engine.fetch("/metrics").decode(), re.MULTILINE
    )
    assert found
    return float(found[1])
