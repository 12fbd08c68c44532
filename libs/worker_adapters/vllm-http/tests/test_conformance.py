"""The adapter conforms, against an engine that a test controls byte by byte."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapter_api import EngineRequest, WorkerAdapter
from adapter_api.conformance import CHECKS, ByBegin, Check, Course
from vllm_http import VllmAdapter
from worker_http.openai_dialect.testing import AsChat, ScriptedOpenAi

from .expositions import metrics_of


def as_chat(url: str) -> WorkerAdapter:
    return AsChat(VllmAdapter(url))


def as_begun(url: str) -> WorkerAdapter:
    return AsChat(ByBegin(VllmAdapter(url)))


KINDS = {"completion": VllmAdapter, "chat": as_chat, "begun": as_begun}


@pytest.fixture(params=list(KINDS))
async def scripted_engine(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedOpenAi]:
    make = KINDS[request.param]
    answers = {
        "/metrics": lambda working: (200, metrics_of(running=working)),
        "/tokenize": lambda _: (200, b'{"tokens":[1]}'),
    }
    async with ScriptedOpenAi(make, owned_by="vllm", answers=answers).running() as engine:
        yield engine


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms(check: Check, scripted_engine: ScriptedOpenAi) -> None:
    async with asyncio.timeout(20):
        await check(scripted_engine)


async def test_a_run_is_begun_once_the_model_is_known() -> None:
    async with ScriptedOpenAi(VllmAdapter, owned_by="vllm").running() as engine:
        engine.follow(Course())
        by_begin = ByBegin(engine.adapter)
        request = EngineRequest(task_id="t", prompt="Say hello", max_tokens=8)
        for begun in (0, 1):
            assert (await by_begin.run(request, lambda _: None)).tokens_out == 3
            assert by_begin.begun == begun
