"""A client that goes away frees its place in the queue and its slot, in every phase."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import openai
import pytest

CAPACITY = 1000
SLOTS = 2
WITHIN_S = 1.0
POLL_S = 0.01
OPEN_STATES = ("queued", "preparing", "running", "stopping")
LONG_PROMPT = "word " * 1000
"""A second or so of work before the first token."""

Get = Callable[[str], Awaitable[Any]]


def chat(*, stream: bool, prompt: str = "Hi", max_tokens: int = 2000) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "slow", "messages": messages, "stream": stream, "max_tokens": max_tokens}


async def eventually(look: Callable[[], Awaitable[bool]], what: str, within_s: float = 10) -> float:
    began_s = time.monotonic()
    while not await look():
        assert time.monotonic() - began_s < within_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(POLL_S)
    return time.monotonic() - began_s


class Watch:
    """What the daemon and its slow engine say of themselves."""

    def __init__(self, daemon: Any, get: Get) -> None:
        self._engine = daemon.engine("slow")
        self._get = get

    async def busy(self) -> int:
        """How many slots the engine works in."""
        return int(await asyncio.to_thread(self._engine.busy))

    async def open_tasks(self) -> list[str]:
        """The tasks that have not ended."""
        return [
            task["task_id"]
            for state in OPEN_STATES
            for task in (await self._get(f"/v2/tasks?state={state}&limit=500"))["tasks"]
        ]

    async def working(self, slots: int, tasks: int) -> None:
        """Wait until so many slots work and so many tasks are open."""

        async def look() -> bool:
            return await self.busy() == slots and len(await self.open_tasks()) == tasks

        await eventually(look, f"{slots} busy slots and {tasks} tasks")

    async def free(self, within_s: float = WITHIN_S) -> None:
        """Hold that nothing is held any more, soon."""

        async def look() -> bool:
            return await self.busy() == 0 and not await self.open_tasks()

        await eventually(look, "free slots and no task", within_s)
        pool = await self._get("/v2/pools/slow/status")
        assert (pool["slots_free"], pool["active_leases"]) == (SLOTS, 0)


@pytest.fixture
async def watch(daemon: Any, get: Get) -> Watch:
    watch = Watch(daemon, get)
    await watch.free(within_s=10)
    return watch


async def call(http: aiohttp.ClientSession, body: dict[str, Any]) -> bytes:
    async with http.post("/v1/chat/completions", json=body) as answer:
        return await answer.read()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_leaving_while_it_decodes_frees_the_slot(
    watch: Watch, http: aiohttp.ClientSession, stream: bool
) -> None:
    calling = asyncio.create_task(call(http, chat(stream=stream)))
    await watch.working(slots=1, tasks=1)
    calling.cancel()
    await watch.free()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_leaving_while_the_prompt_is_read_frees_the_slot(
    watch: Watch, http: aiohttp.ClientSession, stream: bool
) -> None:
    calling = asyncio.create_task(call(http, chat(stream=stream, prompt=LONG_PROMPT)))
    await watch.working(slots=1, tasks=1)
    calling.cancel()
    await watch.free()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_leaving_the_queue_frees_the_place(
    watch: Watch, http: aiohttp.ClientSession, stream: bool
) -> None:
    running = [asyncio.create_task(call(http, chat(stream=False))) for _ in range(SLOTS)]
    await watch.working(slots=SLOTS, tasks=SLOTS)
    waiting = asyncio.create_task(call(http, chat(stream=stream)))
    await watch.working(slots=SLOTS, tasks=SLOTS + 1)
    waiting.cancel()

    async def left() -> bool:
        return len(await watch.open_tasks()) == SLOTS

    await eventually(left, "the task has left the queue", WITHIN_S)
    for task in running:
        task.cancel()
    await watch.free()


async def test_closing_the_stream_of_the_python_client_frees_the_slot(
    watch: Watch, async_client: openai.AsyncOpenAI
) -> None:
    stream = await async_client.chat.completions.create(**chat(stream=True))
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert await watch.busy() == 1
    await stream.close()
    await watch.free()


async def test_a_timeout_of_the_python_client_frees_the_slot(
    watch: Watch, async_client: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.APITimeoutError):
        await async_client.with_options(timeout=0.3).chat.completions.create(**chat(stream=False))
    await watch.free()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_500_clients_that_leave_at_random_leave_nothing_behind(
    watch: Watch, http: aiohttp.ClientSession, stream: bool
) -> None:
    chance = random.Random(8)

    async def stay_a_while(patience_s: float | None, max_tokens: int) -> bool:
        try:
            async with asyncio.timeout(patience_s):
                await call(http, chat(stream=stream, max_tokens=max_tokens))
        except TimeoutError:
            return False
        return True

    leaving = [(chance.uniform(0, 2), chance.choice([1, 4, 200])) for _ in range(490)]
    staying = [(None, 4)] * 10
    served = await asyncio.gather(*(stay_a_while(*call) for call in (*staying, *leaving)))
    assert all(served[: len(staying)])
    assert not all(served)
    await watch.free()
    async with http.post("/v1/chat/completions", json=chat(stream=False, max_tokens=1)) as answer:
        assert answer.status == 200
        assert answer.headers["X-RateLimit-Remaining-Requests"] == str(CAPACITY)
