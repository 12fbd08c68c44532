"""Tools, where the model's own template has them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

MESSAGES: Any = [{"role": "user", "content": "Where is it?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
}
LOOK: Any = {"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}
HEAR: Any = {"type": "function", "function": {"name": "hear", "parameters": PARAMETERS}}
ARGUMENTS = {"place": "home"}


@pytest.fixture
async def caller(tool_caller: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{tool_caller.url}/v1", api_key="any", max_retries=0
    ) as client:
        yield client


def asked(**more: Any) -> Any:
    return {"model": "tool", "messages": MESSAGES, "temperature": 0, "tools": [LOOK]} | more


@pytest.mark.parametrize(
    "choice", [None, "auto", "required", {"type": "function", "function": {"name": "look"}}]
)
async def test_a_call_comes_whole(caller: openai.AsyncOpenAI, choice: Any) -> None:
    more = {} if choice is None else {"tool_choice": choice}
    answer = await caller.chat.completions.create(**asked(tools=[LOOK, HEAR], **more))
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.id
    assert (call.type, call.function.name) == ("function", "look")
    assert json.loads(call.function.arguments) == ARGUMENTS


async def test_a_call_comes_in_pieces_that_the_package_puts_together(
    caller: openai.AsyncOpenAI,
) -> None:
    async with caller.chat.completions.stream(**asked()) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or ()
    assert final.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "look"
    assert json.loads(call.function.arguments) == ARGUMENTS


async def test_a_call_and_its_outcome_are_sent_back(caller: openai.AsyncOpenAI) -> None:
    first = await caller.chat.completions.create(**asked())
    message = first.choices[0].message
    assert message.tool_calls is not None
    outcome = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "a llama"}
    again = await caller.chat.completions.create(**asked(messages=[*MESSAGES, message, outcome]))
    assert first.usage is not None
    assert again.usage is not None
    assert again.usage.prompt_tokens > first.usage.prompt_tokens


async def test_with_no_call_allowed_the_text_stays_text(caller: openai.AsyncOpenAI) -> None:
    answer = await caller.chat.completions.create(**asked(tool_choice="none"))
    assert answer.choices[0].message.tool_calls is None
    assert "look" in (answer.choices[0].message.content or "")
