"""A request of the upstream API becomes the task that a native client would have asked for."""

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_types import ApiError, OnDisconnect, TaskRequest, parse_json
from orchestratord.openai.parameters import (
    ChatRequest,
    CompletionRequest,
    EdgeHeaders,
    EmbeddingRequest,
    RerankRequest,
    UsualChat,
)
from orchestratord.openai.translate import (
    chat_task,
    completion_task,
    edge_headers,
    embedding_task,
    read_chat,
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


_OBJECTS = [{}, {"include_usage": True}, {"include_obfuscation": False}, {"type": "text"}, {"a": 1}]
_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 1, 7, 8.0, -1, 0.5, 2**40, "", "x", [], ["x"], ["text"], *_OBJECTS]
)
_NAMES = sorted({*ChatRequest.model_fields, "unknown"} - {"messages"})
_MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "", "User"])},
    optional={
        "content": st.sampled_from(["", "Hi", None, 1, [{"type": "text", "text": "Hi"}], []]),
        "name": st.sampled_from(["me", None, 1]),
        "refusal": st.sampled_from([None, "no"]),
        "annotations": st.sampled_from([None, [], ["x"]]),
        "tool_calls": st.sampled_from([None, [], [{"id": "1"}]]),
    },
)
_CHATS = st.builds(
    lambda messages, more: {**more, "messages": messages},
    st.lists(_MESSAGE, max_size=3) | _ODD,
    st.dictionaries(st.sampled_from(_NAMES), _ODD, max_size=4),
)


@given(_CHATS)
def test_a_chat_that_is_read_as_a_usual_one_is_the_same_task_read_as_any(
    body: dict[str, Any],
) -> None:
    raw = json.dumps(body).encode()
    tasks = []
    for read in (read_chat, partial(parse_json, ChatRequest)):
        try:
            tasks.append(chat_task(read(raw), NONE))
        except ApiError as error:
            tasks.append(str(error))
    assert tasks[0] == tasks[1]


@pytest.mark.parametrize("stream", [None, True])
def test_what_most_chats_say_needs_no_look_at_all_that_a_chat_may_say(stream: bool | None) -> None:
    usual = {"model": "demo", "max_tokens": 8.0, "temperature": 1, "stop": ["x"], "stream": stream}
    assert type(read_chat(json.dumps(HELLO | usual).encode())) is UsualChat
    assert type(read_chat(json.dumps(HELLO | usual | {"tools": [LOOK]}).encode())) is ChatRequest


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
