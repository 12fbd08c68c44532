"""The adapters of OpenAI's dialect conform behind the relay as they do without it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from adapter_api import WorkerAdapter
from adapter_api.conformance import CHECKS, Check, Course
from openai_http import OpenAiAdapter
from pool_managerd.testing import OneEngine, relaying
from vllm_http import VllmAdapter
from worker_http.openai_dialect.testing import Answer, ScriptedOpenAi

KINDS: dict[str, Callable[[str], WorkerAdapter]] = {"openai": OpenAiAdapter, "vllm": VllmAdapter}


def counted(working: int) -> tuple[int, bytes]:
    return 200, f'vllm:num_requests_running{{engine="0"}} {working}.0\n'.encode()


ANSWERS: dict[str, Answer] = {
    "/metrics": counted,
    "/tokenize": lambda _: (200, b'{"tokens":[1]}'),
    "/version": lambda _: (200, b'{"version":"0"}'),
}


@pytest.fixture(params=KINDS)
async def relayed(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedOpenAi]:
    relays: dict[str, str] = {}

    def make(url: str) -> WorkerAdapter:
        return KINDS[request.param](relays.get(url, url))

    async with (
        ScriptedOpenAi(make, answers=ANSWERS).running() as engine,
        relaying(OneEngine(engine.url, engine=request.param)) as relay,
    ):
        relays[engine.url] = relay
        engine.follow(Course())
        yield engine
        await engine.adapter.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_adapter_conforms_behind_the_relay(check: Check, relayed: ScriptedOpenAi) -> None:
    async with asyncio.timeout(20):
        await check(relayed)


async def test_what_an_engine_offers_is_found_out_through_the_relay(
    relayed: ScriptedOpenAi,
) -> None:
    described = await relayed.adapter.describe()
    assert described.workloads == ("completion",)
