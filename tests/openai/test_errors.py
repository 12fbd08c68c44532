"""What goes wrong is told in the words that clients of the upstream API know."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from demo_model import SLOW

MESSAGES: Any = [{"role": "user", "content": "Hi"}]
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def test_an_unknown_model_is_not_found_and_the_near_names_are_told(client: openai.OpenAI) -> None:
    for failing in (
        lambda: client.chat.completions.create(model="demmo", messages=MESSAGES),
        lambda: client.models.retrieve("demmo"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            failing()
        assert caught.value.code == "MODEL_NOT_FOUND"
        assert caught.value.param == "model"
        assert "demo" in caught.value.message


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"n": 2}, "n"),
        ({"temperature": -1}, "temperature"),
        ({"extra_body": {"temperatur": 1}}, "temperatur"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"store": True}, "store"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [TOOL]}, "tools"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, None),
        ({"max_tokens": 2, "max_completion_tokens": 3}, "max_tokens"),
        ({"extra_headers": {"X-Priority": "urgent"}}, "X-Priority"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused_by_name(
    client: openai.OpenAI, wrong: dict[str, Any], param: str | None
) -> None:
    asked: Any = {"model": "demo", "messages": MESSAGES, "max_tokens": 2} | wrong
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**asked)
    assert caught.value.code == "INVALID_PARAMS"
    assert caught.value.type == "invalid_request_error"
    if param is not None:
        assert caught.value.param == param


@pytest.mark.parametrize("stream", [False, True])
def test_an_early_failure_keeps_its_status(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="slow", messages=[{"role": "user", "content": "x " * 9000}], stream=stream
        )
    assert "context" in caught.value.message


def test_what_is_not_there_has_the_shape_too(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.post("/images/generations", body={}, cast_to=object)
    assert caught.value.code == "NOT_FOUND"


@pytest.fixture(scope="module")
def narrow(start: Callable[..., Any], models: Path, pool_of: Callable[..., Any]) -> Any:
    """A daemon with one slot and one place to wait."""
    pool = pool_of(models, SLOW, slots=1)
    return start(pool, admission_capacity=1, admission_policy="reject")


async def test_a_full_queue_is_a_rate_limit_and_its_retry_succeeds(narrow: Any) -> None:
    url = f"{narrow.url}/v1"
    async with (
        openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client,
        openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=10) as patient,
    ):
        asked: Any = {"model": "slow", "prompt": "1", "max_tokens": 60}
        async with asyncio.TaskGroup() as group:
            running = await client.completions.create(stream=True, **asked)
            waiting = group.create_task(client.completions.create(**asked))
            await _one_waits(narrow.url)
            with pytest.raises(openai.RateLimitError) as caught:
                await client.completions.create(**asked)
            refused = caught.value
            assert refused.code == "ADMISSION_REJECT"
            headers = refused.response.headers
            assert int(headers["retry-after"]) >= 1
            assert int(headers["retry-after-ms"]) >= 1
            assert headers["x-should-retry"] == "true"
            assert headers["x-ratelimit-limit-requests"] == "1"
            assert headers["x-ratelimit-remaining-requests"] == "0"
            assert headers["x-ratelimit-reset-requests"].endswith("s")
            retried = group.create_task(patient.completions.create(**asked))
            async for _ in running:
                pass
        assert waiting.result().choices[0].finish_reason == "length"
        assert retried.result().choices[0].finish_reason == "length"


async def _one_waits(url: str) -> None:
    async with aiohttp.ClientSession(url) as http, asyncio.timeout(10):
        while True:
            async with http.get("/v2/tasks?state=queued") as answer:
                if len((await answer.json())["tasks"]) == 1:
                    return
            await asyncio.sleep(0.01)


async def test_a_late_failure_of_a_stream_is_its_last_chunk(
    async_client: openai.AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    raw = await async_client.chat.completions.with_raw_response.create(
        model="slow", messages=MESSAGES, stream=True
    )
    chunks = aiter(raw.parse())
    await anext(chunks)
    async with http.post(f"/v2/tasks/{raw.headers['x-task-id']}/cancel") as answer:
        assert answer.status == 204
    with pytest.raises(openai.APIError) as caught:
        async for _ in chunks:
            pass
    assert caught.value.code == "CANCELED"


async def test_a_plain_call_whose_task_is_canceled_says_so(
    async_client: openai.AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    session = {"X-Session-Id": "to-be-canceled"}
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(_failure(async_client, session))
        task_id = None
        while task_id is None:
            async with http.get("/v2/tasks?state=running") as answer:
                tasks = (await answer.json())["tasks"]
            found = [task for task in tasks if task["session_id"] == "to-be-canceled"]
            task_id = found[0]["task_id"] if found else None
        async with http.post(f"/v2/tasks/{task_id}/cancel") as answer:
            assert answer.status == 204
    assert calling.result().status_code == 499
    assert calling.result().code == "CANCELED"


async def _failure(client: openai.AsyncOpenAI, headers: dict[str, str]) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(model="slow", messages=MESSAGES, extra_headers=headers)
    return caught.value
