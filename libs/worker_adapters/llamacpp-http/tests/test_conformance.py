"""The adapter conforms, against an engine that a test controls byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from adapter_api import EngineFinish, EngineRequest, EventSink
from adapter_api.conformance import CHECKS, Check
from llamacpp_http import LlamaCppAdapter

from .scripted_llama import ScriptedLlama


class AsChat:
    """Sends every prompt as a message, so that the chat path meets the same checks."""

    def __init__(self, inner: LlamaCppAdapter) -> None:
        self._inner = inner
        self.engine = inner.engine
        self.health = inner.health
        self.describe = inner.describe
        self.confirm_stopped = inner.confirm_stopped
        self.tokenize: object = inner.tokenize
        self.close = inner.close

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        messages: Sequence[dict[str, str]] = [{"role": "user", "content": request.prompt or ""}]
        return await self._inner.run(replace(request, prompt=None, messages=messages), sink)


class ChattingLlama(ScriptedLlama):
    """The same engine, met on its chat path."""

    def follow(self, course: object) -> None:
        super().follow(course)
        self.adapter = AsChat(self.adapter)


@pytest.fixture(params=["completion", "chat"])
async def scripted_engine(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedLlama]:
    kind = ChattingLlama if request.param == "chat" else ScriptedLlama
    async with kind.running(chat=request.param == "chat") as engine:
        yield engine


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms(check: Check, scripted_engine: ScriptedLlama) -> None:
    async with asyncio.timeout(20):
        await check(scripted_engine)
