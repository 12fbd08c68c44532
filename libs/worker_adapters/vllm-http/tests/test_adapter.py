"""vLLM's own: its version and counts, a probe that generates, its names of parameters."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from adapter_api import EngineFailed, EngineRequest, EngineReset
from adapter_api.conformance import Course, Ending, Phase
from vllm_http import VLLM, VllmAdapter
from worker_http.openai_dialect.testing import ScriptedOpenAi

from .expositions import metrics_of


@pytest.fixture
async def vllm() -> AsyncIterator[ScriptedOpenAi]:
    answers = {
        "/health": lambda _: (200, b""),
        "/version": lambda _: (200, b'{"version":"0.32.0"}'),
        "/metrics": lambda working: (200, metrics_of(running=working)),
        "/tokenize": lambda _: (200, b'{"count":2,"max_model_len":1024,"tokens":[1,2]}'),
    }
    async with ScriptedOpenAi(VllmAdapter, owned_by="vllm", answers=answers).running() as engine:
        yield engine


async def sent(vllm: ScriptedOpenAi, **fields: object) -> dict[str, object]:
    await vllm.adapter.run(EngineRequest(task_id="t", **fields), lambda _: None)
    found: dict[str, object] = json.loads(vllm.requests[-1].body)
    return found


async def test_it_says_its_version_model_context_and_workloads(vllm: ScriptedOpenAi) -> None:
    described = await vllm.adapter.describe()
    assert (described.engine, described.engine_version) == ("vllm", "0.32.0")
    assert (described.model, described.ctx_max) == ("tiny", 1024)
    assert described.workloads == ("completion",)
    assert described.features == VLLM.features
    assert await vllm.adapter.tokenize("Hi") == [1, 2]


async def test_the_contracts_names_become_vllms(vllm: ScriptedOpenAi) -> None:
    body = await sent(
        vllm,
        prompt="x",
        cache_prompt=False,
        sampling={"top_k": 3, "min_p": 0.1, "repeat_penalty": 1.1, "json_schema": {"enum": [1]}},
    )
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (3, 0.1, 1.1)
    assert body["structured_outputs"] == {"json": {"enum": [1]}}
    assert body["stream_options"] == {"include_usage": True}
    assert body["max_tokens"] == 1022, "left out it would be 16"
    assert body["cache_salt"]
    assert "seed" not in body
    assert "repeat_penalty" not in body


async def test_a_seed_is_sent_only_when_one_was_asked_for(vllm: ScriptedOpenAi) -> None:
    assert (await sent(vllm, prompt="x", seed=7))["seed"] == 7
    assert (await sent(vllm, prompt="x", seed=-1))["seed"] >= 0


async def test_a_lost_chat_goes_on_behind_its_text(vllm: ScriptedOpenAi) -> None:
    user = {"role": "user", "content": "Hi?"}
    body = await sent(vllm, messages=[user], text_so_far="Hel")
    assert body["messages"] == [user, {"role": "assistant", "content": "Hel"}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


async def test_a_shutdown_that_ends_streams_in_good_order_is_no_success(
    vllm: ScriptedOpenAi,
) -> None:
    vllm.follow(Course(finish_reason="abort"))
    with pytest.raises(EngineReset, match="gave the request up"):
        await sent(vllm, prompt="x")
    vllm.follow(Course(finish_reason="error"))
    with pytest.raises(EngineFailed):
        await sent(vllm, prompt="x")


async def test_a_probe_generates_and_tells_what_health_does_not(vllm: ScriptedOpenAi) -> None:
    assert (await vllm.adapter.probe()).ready
    vllm.follow(Course(ending=Ending.ERROR_EVENT))
    assert (await vllm.adapter.health()).ready
    assert not (await vllm.adapter.probe()).ready


async def test_a_stop_is_not_confirmed_while_vllm_still_counts_the_request() -> None:
    counted = {"running": 1}
    answers = {"/metrics": lambda _: (200, metrics_of(**counted))}
    async with ScriptedOpenAi(VllmAdapter, answers=answers).running() as vllm:
        vllm.follow(Course(stall=Phase.DECODE))
        async with asyncio.TaskGroup() as group:
            request = EngineRequest(task_id="t", prompt="x", max_tokens=1)
            run = group.create_task(vllm.adapter.run(request, lambda _: None))
            await vllm.reached()
            run.cancel()
        await vllm.abandoned()
        assert not await vllm.adapter.confirm_stopped("t", timeout_ms=100)
        counted["running"] = 0
        assert await vllm.adapter.confirm_stopped("t")
