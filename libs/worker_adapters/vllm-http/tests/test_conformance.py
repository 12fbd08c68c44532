"""The adapter conforms, against an engine that a test controls byte by byte."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapter_api import WorkerAdapter
from adapter_api.conformance import CHECKS, Check
from vllm_http import VllmAdapter
from worker_http.openai_dialect.testing import AsChat, ScriptedOpenAi

from .expositions import metrics_of


def as_chat(url: str) -> WorkerAdapter:
    return AsChat(VllmAdapter(url))


@pytest.fixture(params=["completion", "chat"])
async def scripted_engine(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedOpenAi]:
    make = as_chat if request.param == "chat" else VllmAdapter
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
