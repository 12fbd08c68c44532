"""An adapter conforms behind the relay as it does in front of its engine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapter_api.conformance import CHECKS, Check, Course, ScriptedEngine, Trouble
from llamacpp_http import LlamaCppAdapter
from pool_managerd.testing import OneEngine, relaying

from .engines import adapters_own

ScriptedLlama = adapters_own("scripted_llama").ScriptedLlama


@pytest.fixture
async def relayed() -> AsyncIterator[ScriptedEngine]:
    async with ScriptedLlama.running() as llama:
        engine = OneEngine(llama._server.url)
        async with relaying(engine) as url:
            direct = llama.follow

            def follow(course: Course) -> None:
                direct(course)
                if course.trouble is not Trouble.UNREACHABLE:
                    llama.adapter = LlamaCppAdapter(url)

            llama.follow = follow
            yield llama
            await llama.adapter.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms_behind_the_relay(check: Check, relayed: ScriptedEngine) -> None:
    async with asyncio.timeout(20):
        await check(relayed)
