"""A request of the upstream API becomes the task that a native client would have asked for."""

from typing import Any

import pytest

from api_types import ApiError, OnDisconnect, TaskRequest
from orchestratord.openai.parameters import (
    ChatRequest,
    CompletionRequest,
    EdgeHeaders,
    EmbeddingRequest,
    RerankRequest,
)
from orchestratord.openai.translate import (
    chat_task,
    completion_task,
    edge_headers,
    embedding_task,
    rerank_task,
)

NONE = EdgeHeaders()
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
LOOK = {"type": "function", "function": {"name": "look"}}
HEAR = {"type": "function", "function": {"name": "hear"}}
OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}


def chat(**more: Any) -> TaskRequest:
    return chat_task(ChatRequest.model_validate(HELLO | more), NONE)


def native(**fields: Any) -> TaskRequest:
    return TaskRequest.model_validate({**HELLO, "on_disconnect": "cancel", **fields})


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, {}),
        ({"model": "demo"}, {"model_ref": "demo"}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 7, "max_tokens": 7}, {"max_tokens": 7}),
        ({"seed": 5}, {"seed": 5}),
        ({"stop": "x"}, {"sampling": {"stop": ["x"]}}),
        ({"stop": ["x", "y"]}, {"sampling": {"stop": ["x", "y"]}}),
        (
            {"temperature": 0.5, "top_p": 0.9, "presence_penalty": 1, "frequency_penalty": -1},
            {
                "sampling": {
                    "temperature": 0.5,
                    "top_p": 0.9,
                    "presence_penalty": 1,
                    "frequency_penalty": -1,
                }
            },
        ),
        (
            {"top_k": 4, "min_p": 0.1, "repeat_penalty": 1.1},
            {"sampling": {"top_k": 4, "min_p": 0.1, "repeat_penalty": 1.1}},
        ),
        ({"logit_bias": {"15": -100}}, {"sampling": {"logit_bias": {"15": -100}}}),
        ({"logprobs": True}, {"sampling": {"logprobs": 1}}),
        ({"logprobs": True, "top_logprobs": 0}, {"sampling": {"logprobs": 1}}),
        ({"logprobs": True, "top_logprobs": 5}, {"sampling": {"logprobs": 5}}),
        ({"logprobs": False}, {}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_object"}},
            {"sampling": {"json_schema": {"type": "object"}}},
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": OBJECT, "strict": True},
                }
            },
            {"sampling": {"json_schema": OBJECT}},
        ),
        ({"grammar": 'root ::= "a"'}, {"sampling": {"grammar": 'root ::= "a"'}}),
        ({"metadata": {"team": "search"}}, {"labels": {"team": "search"}}),
        ({"tools": [LOOK]}, {"tools": [LOOK]}),
        (
            {"tools": [LOOK], "tool_choice": "required"},
            {"tools": [LOOK], "tool_choice": "required"},
        ),
        (
            {
                "tools": [LOOK, HEAR],
                "tool_choice": {"type": "function", "function": {"name": "hear"}},
            },
            {"tools": [HEAR], "tool_choice": "required"},
        ),
        ({"user": "me", "safety_identifier": "x", "prompt_cache_key": "k"}, {}),
        ({"n": 1, "store": False, "service_tier": "auto", "stream": True}, {}),
    ],
    ids=str,
)
def test_a_chat_is_the_task_that_it_means(asked: dict[str, Any], meant: dict[str, Any]) -> None:
    assert chat(**asked) == native(**meant)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"stream_options": {"include_usage": True}}, "stream_options: needs stream"),
        ({"top_logprobs": 1}, "top_logprobs: needs logprobs"),
        ({"tool_choice": "auto"}, "tool_choice: needs tools"),
        (
            {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "hear"}}},
            "tool_choice.function.name: none of the tools",
        ),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens: says something else"),
        (
            {"grammar": "root ::= x", "response_format": {"type": "json_object"}},
            "grammar and json_schema exclude each other",
        ),
    ],
    ids=str,
)
def test_parameters_that_contradict_are_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError, match=words):
        chat(**asked)


def test_messages_go_on_as_they_are() -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "Look!", "name": "ada"},
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": [],
            "reasoning_content": "hm",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "a llama"},
    ]
    told = chat(messages=messages).messages or ()
    kept = [message.model_dump(mode="json", exclude_none=True) for message in told]
    meant = [
        {k: v for k, v in message.items() if v is not None and k != "annotations"}
        for message in messages
    ]
    assert kept == meant


def test_completions_embeddings_and_rankings_are_tasks_too() -> None:
    completion = CompletionRequest.model_validate({"prompt": ["a"], "logprobs": 0, "stop": "x"})
    assert completion_task(completion, NONE) == TaskRequest.model_validate(
        {
            "prompt": "a",
            "sampling": {"logprobs": 1, "stop": ["x"]},
            "on_disconnect": "cancel",
        }
    )
    one = embedding_task(EmbeddingRequest.model_validate({"input": "a"}), NONE)
    two = embedding_task(EmbeddingRequest.model_validate({"input": ["a", "b"]}), NONE)
    assert (one.inputs, two.inputs) == (("a",), ("a", "b"))
    ranking = RerankRequest.model_validate({"query": "q", "documents": ["a", {"text": "b"}]})
    task = rerank_task(ranking, NONE)
    assert (task.query, task.inputs) == ("q", ("a", "b"))


def test_headers_say_who_waits_where_and_how_long() -> None:
    headers = edge_headers({"X-Priority": "batch", "X-Session-Id": "s", "X-Deadline-Ms": "50"})
    task = chat_task(ChatRequest.model_validate(HELLO), headers)
    assert (task.priority.value, task.session_id, task.deadline_ms) == ("batch", "s", 50)
    assert task.on_disconnect is OnDisconnect.CANCEL


@pytest.mark.parametrize(
    "wrong", [{"X-Priority": "urgent"}, {"X-Session-Id": "?"}, {"X-Deadline-Ms": "soon"}], ids=str
)
def test_a_wrong_header_is_named(wrong: dict[str, str]) -> None:
    (name,) = wrong
    with pytest.raises(ApiError, match=f"^{name}: "):
        edge_headers(wrong)
