"""The surface adds nothing and loses nothing: the same seed, the same text, the same usage."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from demo_model import DEMO

SEEDS = range(32)
TOKENS = 64
CONVERSATION: Any = [
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": "What are you?"},
    {"role": "assistant", "content": "A small model."},
    {"role": "user", "content": [{"type": "text", "text": "And what do you do?"}]},
]


@pytest.fixture(scope="module")
def strict(start: Callable[..., Any], models: Path, pool_of: Callable[..., Any]) -> Any:
    return start(pool_of(models, DEMO, strict=True))


async def test_a_conversation_is_the_same_through_us_and_straight_to_the_engine(
    strict: Any,
) -> None:
    engine = strict.engine()
    asked: Any = {"messages": CONVERSATION, "temperature": 1, "max_tokens": TOKENS}
    texts = set()
    async with (
        openai.AsyncOpenAI(base_url=f"{strict.url}/v1", api_key="any", max_retries=0) as us,
        openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.key, max_retries=0) as it,
    ):
        for seed in SEEDS:
            ours = await us.chat.completions.create(model="demo", seed=seed, **asked)
            theirs = await it.chat.completions.create(
                model="demo", seed=seed, extra_body={"cache_prompt": False}, **asked
            )
            assert ours.choices[0].message.content == theirs.choices[0].message.content
            assert ours.choices[0].finish_reason == theirs.choices[0].finish_reason
            assert ours.usage is not None
            assert theirs.usage is not None
            assert _counts(ours.usage) == _counts(theirs.usage)
            texts.add(ours.choices[0].message.content)
    assert len(texts) > 1, "the seeds made no difference, so this showed nothing"


async def test_a_stream_has_the_very_text_of_the_plain_answer(strict: Any) -> None:
    asked: Any = {"model": "demo", "messages": CONVERSATION, "temperature": 1, "seed": 5}
    async with openai.AsyncOpenAI(
        base_url=f"{strict.url}/v1", api_key="any", max_retries=0
    ) as client:
        plain = await client.chat.completions.create(**asked)
        stream = await client.chat.completions.create(
            stream=True, stream_options={"include_usage": True}, **asked
        )
        chunks = [chunk async for chunk in stream]
    told = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(told) == plain.choices[0].message.content
    assert plain.usage is not None
    assert chunks[-1].usage is not None
    assert _counts(chunks[-1].usage) == _counts(plain.usage)


async def test_both_surfaces_run_the_same_task(strict: Any) -> None:
    asked: Any = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20, "seed": 3}
    async with aiohttp.ClientSession(strict.url) as http:
        async with http.post("/v1/chat/completions", json=asked | {"temperature": 1}) as answer:
            told = await answer.json()
        async with http.post(
            "/v2/tasks",
            json=asked | {"sampling": {"temperature": 1}},
            headers={"Accept": "text/event-stream"},
        ) as answer:
            await answer.read()
            task_id = answer.headers["X-Task-Id"]
        async with http.get(f"/v2/tasks/{task_id}") as answer:
            native = await answer.json()
    assert told["choices"][0]["message"]["content"] == native["text"]
    assert told["usage"]["completion_tokens"] == native["tokens_out"]
    assert told["usage"]["prompt_tokens"] == native["tokens_in"]


def _counts(usage: Any) -> tuple[int, int, int]:
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
