"""The adapter of vLLM against a real one."""

import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapter_api import EngineEvent, EngineFinish, EngineRequest, Tokens
from vllm_http import VLLM, VllmAdapter

from .installed import EngineProcess
from .vllm_server import CTX, MODEL

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]

GREEDY = {"temperature": 0.0}
MESSAGES = ({"role": "user", "content": "Who are you?"},)
WAYS: list[dict[str, Any]] = [{"prompt": "Hello"}, {"messages": MESSAGES}]


@pytest.fixture
async def adapter(vllm: EngineProcess) -> AsyncIterator[VllmAdapter]:
    adapter = VllmAdapter(vllm.url, api_key=vllm.key)
    yield adapter
    await adapter.close()


async def said(adapter: VllmAdapter, **fields: Any) -> tuple[str, EngineFinish, list[EngineEvent]]:
    """Run a request: its text, how it ended, and all that it told."""
    events: list[EngineEvent] = []
    finish = await adapter.run(EngineRequest(task_id="t", **fields), events.append)
    pieces = [piece for event in events if isinstance(event, Tokens) for piece in event.pieces]
    return "".join(pieces), finish, events


def asked_plainly(engine: EngineProcess, way: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The engine's own answer, without a stream and without us."""
    path = "/v1/completions" if "prompt" in way else "/v1/chat/completions"
    request = urllib.request.Request(
        engine.url + path,
        json.dumps({"model": MODEL, **way, **more}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {engine.key}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


async def test_it_says_what_it_is(adapter: VllmAdapter) -> None:
    assert (await adapter.health()).ready
    described = await adapter.describe()
    assert (described.engine, described.model, described.ctx_max) == ("vllm", MODEL, CTX)
    assert described.engine_version
    assert described.workloads == ("completion",)
    assert described.features == VLLM.features


@pytest.mark.parametrize("way", WAYS, ids=["completion", "chat"])
async def test_the_text_and_the_counts_are_the_engines_own(
    vllm: EngineProcess, adapter: VllmAdapter, way: dict[str, Any]
) -> None:
    own = asked_plainly(vllm, way, temperature=0, max_tokens=48)
    (choice,) = own["choices"]
    text, finish, events = await said(adapter, **way, sampling=GREEDY, max_tokens=48)
    assert text == choice.get("text") or choice["message"]["content"]
    assert (finish.finish_reason, choice["finish_reason"]) == ("length", "length")
    assert (finish.tokens_in, finish.tokens_out) == (own["usage"]["prompt_tokens"], 48)
    assert len(events) > 1, "it was no stream"
