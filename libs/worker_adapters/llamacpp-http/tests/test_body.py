"""Requests become bodies that say what was asked for and nothing else."""

import json
from types import MappingProxyType

import pytest

from adapter_api import EngineRefused, EngineRequest
from llamacpp_http.body import chat_body, completion_body

ALWAYS = {"stream": True, "return_progress": True, "dry_allowed_length": 9, "seed": 7}


def test_without_sampling_nothing_is_chosen_for_the_client() -> None:
    request = EngineRequest(task_id="t", prompt="x")
    assert json.loads(completion_body(request, seed=7, mark=9)) == {
        **ALWAYS,
        "prompt": "x",
        "cache_prompt": True,
    }


def test_every_parameter_of_the_contract_is_passed_on() -> None:
    sampling = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "min_p": 0.1,
        "repeat_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "stop": ("a", "b"),
        "grammar": "root ::= [a-z]",
        "json_schema": {"type": "object"},
    }
    bias = {"15": -100.0}
    request = EngineRequest(
        task_id="t",
        prompt="x",
        max_tokens=4,
        cache_prompt=False,
        sampling=MappingProxyType({**sampling, "logit_bias": bias, "logprobs": 2}),
    )
    body = json.loads(completion_body(request, seed=7, mark=9))
    assert body.items() >= {**sampling, "stop": ["a", "b"]}.items()
    assert (body["logit_bias"], body["n_probs"], body["n_predict"]) == ([[15, -100.0]], 2, 4)
    assert body["cache_prompt"] is False


def test_messages_go_as_they_are_with_tools_and_usage() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    request = EngineRequest(
        task_id="t",
        messages=(MappingProxyType({"role": "user", "content": "hi"}),),
        max_tokens=4,
        tools=[tool],
        tool_choice="auto",
        sampling={"logprobs": 3},
    )
    assert json.loads(chat_body(request, seed=7, mark=9)) == {
        **ALWAYS,
        "cache_prompt": True,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 4,
        "stream_options": {"include_usage": True},
        "tools": [tool],
        "tool_choice": "auto",
        "logprobs": True,
        "top_logprobs": 3,
    }


def test_what_llama_cpp_cannot_do_is_refused_by_name() -> None:
    with pytest.raises(EngineRefused, match="mirostat"):
        completion_body(
            EngineRequest(task_id="t", prompt="x", sampling={"mirostat": 1}), seed=1, mark=1
        )
    with pytest.raises(EngineRefused, match="tools"):
        completion_body(EngineRequest(task_id="t", prompt="x", tools=[{}]), seed=1, mark=1)
