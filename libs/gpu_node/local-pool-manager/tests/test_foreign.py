"""An engine of somebody else whose health says nothing is tried by having it generate."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from engine_provisioner import EngineProbe
from local_pool_manager.foreign import Generations, watch_engine
from pool_registry_types import HandoffModel, HandoffPayload

COMPLETED = {"choices": [{"text": "1", "finish_reason": "length"}]}


@dataclass
class Theirs:
    """An engine whose `/health` is well whatever happens to it."""

    status: int = 200
    answer: object = field(default_factory=lambda: COMPLETED)
    asked: list[dict] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    async def complete(self, request):
        self.asked.append(await request.json())
        self.keys.add(request.headers["Authorization"])
        return web.json_response(self.answer, status=self.status)

    @asynccontextmanager
    async def running(self):
        app = web.Application()
        app.router.add_get("/health", _healthy)
        app.router.add_get("/v1/models", _models)
        app.router.add_post("/v1/completions", self.complete)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


async def _healthy(_):
    return web.Response()


async def _models(_):
    return web.json_response({"data": [{"id": "big"}]})


class Told:
    """What a watch has told, and a way to wait for more."""

    def __init__(self):
        self.all = []
        self._more = asyncio.Event()

    def __call__(self, answers, trouble):
        self.all.append((answers, trouble))
        self._more.set()

    async def next(self):
        self._more.clear()
        async with asyncio.timeout(10):
            await self._more.wait()
        return self.all[-1]

    async def until(self, answers):
        while (told := await self.next())[0] is not answers:
            pass
        return told


def handoff(port):
    return HandoffPayload(
        pool_id="big",
        replica_id="r0",
        engine="vllm",
        engine_version="0.32.0",
        url=f"http://127.0.0.1:{port}",
        slots=4,
        pid=1,
        ctx_max=1024,
        model=HandoffModel(id="big", path="/m", size_bytes=0),
        created_ms=0,
        engine_key="secret",
    )


@asynccontextmanager
async def watched(theirs, generations):
    told = Told()
    async with (
        theirs.running() as port,
        EngineProbe.running() as probe,
        asyncio.TaskGroup() as tasks,
    ):
        watch = watch_engine(
            handoff(port),
            probe,
            told,
            pid_trusted=False,
            interval_s=0.01,
            generations=generations,
        )
        task = tasks.create_task(watch)
        yield told
        task.cancel()


async def test_an_engine_that_generates_no_more_is_not_ready_until_it_does_again():
    theirs = Theirs()
    async with watched(theirs, Generations(0.0, idle=lambda: True)) as told:
        await told.until(True)
        theirs.status = 500
        assert (await told.until(False))[1] == "the engine's /v1/completions answers 500"
        theirs.status = 200
        theirs.answer = {"choices": [{"text": "", "finish_reason": "abort"}]}
        await told.next()
        assert (await told.until(False))[1] == "the engine gave a token up"
        theirs.answer = COMPLETED
        await told.until(True)
    assert theirs.asked[0] == {"model": "big", "prompt": ".", "max_tokens": 1}
    assert theirs.keys == {"Bearer secret"}


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_a_refusal_says_nothing_against_an_engine(status):
    theirs = Theirs(status=status)
    async with watched(theirs, Generations(0.0, idle=lambda: True)) as told:
        for _ in range(3):
            assert await told.next() == (True, None)
    assert theirs.asked


async def test_an_engine_that_works_for_us_is_not_tried_nor_one_that_nobody_wants_tried():
    theirs = Theirs(status=500)
    for generations in (Generations(0.0, idle=lambda: False), None):
        async with watched(theirs, generations) as told:
            for _ in range(3):
                assert await told.next() == (True, None)
    assert not theirs.asked


async def test_it_is_tried_once_in_its_time():
    theirs = Theirs()
    async with watched(theirs, Generations(3600.0, idle=lambda: True)) as told:
        for _ in range(5):
            await told.next()
    assert len(theirs.asked) == 1
