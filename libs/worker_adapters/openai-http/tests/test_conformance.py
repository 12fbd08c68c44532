"""The adapter conforms, against an engine that a test controls byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from adapter_api import WorkerAdapter
from adapter_api.conformance import CHECKS, Check
from openai_http import OpenAiAdapter
from worker_http.openai_dialect.testing import AsChat, ScriptedOpenAi


def as_chat(url: str) -> WorkerAdapter:
    return AsChat(OpenAiAdapter(url))


def slots(working: int) -> tuple[int, bytes]:
    return 200, json.dumps([{"id": n, "is_processing": n < working} for n in range(4)]).encode()


@pytest.fixture(params=["completion", "chat", "llamacpp"])
async def scripted_engine(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedOpenAi]:
    engine = {
        "completion": lambda: ScriptedOpenAi(OpenAiAdapter),
        "chat": lambda: ScriptedOpenAi(as_chat),
        "llamacpp": lambda: ScriptedOpenAi(
            OpenAiAdapter, owned_by="llamacpp", answers={"/slots": slots}
        ),
    }[request.param]()
    async with engine.running():
        yield engine


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms(check: Check, scripted_engine: ScriptedOpenAi) -> None:
    async with asyncio.timeout(20):
        await check(scripted_engine)
