"""The adapter conforms, against an engine that a test controls byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from adapter_api import EngineFinish, EngineRequest, EventSink
from adapter_api.conformance import CHECKS, ByBegin, Check, Course
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


class BegunLlama(ScriptedLlama):
    """The same engine, met by runs that nobody awaits."""

    def follow(self, course: object) -> None:
        super().follow(course)
        self.adapter = ByBegin(self.adapter)


KINDS = {"completion": ScriptedLlama, "chat": ChattingLlama, "begun": BegunLlama}


@pytest.fixture(params=list(KINDS))
async def scripted_engine(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedLlama]:
    async with KINDS[request.param].running(chat=request.param == "chat") as engine:
        yield engine


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms(check: Check, scripted_engine: ScriptedLlama) -> None:
    async with asyncio.timeout(20):
        await check(scripted_engine)


async def test_a_run_is_begun_on_a_connection_that_is_there_and_only_there() -> None:
    async with ScriptedLlama.running() as engine:
        engine.follow(Course())
        adapter: LlamaCppAdapter = engine.adapter
        request = EngineRequest(task_id="t", prompt="Say hello")
        assert adapter.begin(request, print, print) is None
        by_begin = ByBegin(adapter)
        assert (await by_begin.run(request, lambda _: None)).tokens_out == 3
        assert by_begin.begun == 1
        asks_first = replace(request, sampling={"json_schema": {"type": "object"}})
        refused = replace(request, sampling={"no_such_thing": 1})
        for other in (asks_first, refused, replace(request, text_so_far="Hel")):
            assert adapter.begin(other, print, print) is None
