"""What a client hears while its task waits: by the clock of the contract, over the wire."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from demo_model import SLOW

HOLD_S = 10.0
"""How long a stream of the upstream API holds its headers for the first token."""
METRICS_S = 5.0
KEEP_ALIVE_S = 15.0
LATE_S = 4.0
"""What a busy machine may add."""


@pytest.fixture(scope="module")
def narrow(start: Callable[..., Any], models: Path, pool_of: Callable[..., Any]) -> Any:
    """A daemon with one slot."""
    return start(pool_of(models, SLOW, slots=1, ctx=8192))


async def _lines_until(stream: aiohttp.StreamReader, wanted: bytes, count: int) -> list[float]:
    """Return when each of the first `count` lines came that begin like that."""
    came_s: list[float] = []
    while len(came_s) < count:
        line = await stream.readline()
        assert line, f"the stream ended before {wanted!r}"
        if line.startswith(wanted):
            came_s.append(time.monotonic())
    return came_s


async def test_headers_are_held_for_ten_seconds_and_news_and_comments_come_in_time(
    narrow: Any,
) -> None:
    native = {"Accept": "text/event-stream"}
    long = {"prompt": "1", "max_tokens": 7000, "sampling": {"temperature": 0}}
    chat = {"model": "slow", "stream": True, "max_tokens": 3, "temperature": 0}
    chat["messages"] = [{"role": "user", "content": "Hi"}]
    async with aiohttp.ClientSession(narrow.url) as http:
        async with http.post("/v2/tasks", json=long) as answer:
            running = (await answer.json())["task_id"]
        began_s = time.monotonic()
        async with (
            http.post("/v2/tasks", json={**long, "max_tokens": 3}, headers=native) as told,
            http.post("/v1/chat/completions", json=chat) as held,
        ):
            headers_s = time.monotonic() - began_s
            assert HOLD_S - 0.1 <= headers_s <= HOLD_S + LATE_S
            assert held.status == 200
            first_line = await held.content.readline()
            assert first_line.startswith(b":"), "nothing but a comment until there is a token"
            comment, news = await asyncio.gather(
                _lines_until(held.content, b":", 1),
                _lines_until(told.content, b"event: metrics", 3),
            )
            silence_s = comment[0] - began_s - headers_s
            assert silence_s <= KEEP_ALIVE_S + LATE_S
            gaps_s = [
                later - earlier for earlier, later in zip([began_s, *news], news, strict=False)
            ]
            assert max(gaps_s[1:]) <= METRICS_S + LATE_S
            async with http.post(f"/v2/tasks/{running}/cancel") as canceled:
                assert canceled.status == 204
            rest = (await held.content.read()).decode()
    chunks = [json.loads(line[6:]) for line in rest.splitlines() if line.startswith("data: {")]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == SLOW.expected_text(3)
    assert rest.rstrip().endswith("data: [DONE]")
