"""Errors as llama.cpp words them, and what becomes of them."""

import json

import pytest

from adapter_api import (
    AdapterError,
    EngineFailed,
    EngineOverloaded,
    EngineProtocolError,
    EngineRefused,
)
from llamacpp_http.refusals import error_of_response
from worker_http import Response


def error_of(status: int, message: str, kind: str = "server_error", **more: int) -> AdapterError:
    body = {"error": {"code": status, "message": message, "type": kind, **more}}
    return error_of_response(Response(status, "application/json", json.dumps(body).encode()))


def test_a_prompt_too_long_is_told_with_its_numbers() -> None:
    error = error_of(400, "…", "exceed_context_size_error", n_prompt_tokens=5851, n_ctx=512)
    assert isinstance(error, EngineRefused)
    assert error.message == "the prompt has 5851 tokens and a slot's context holds 512"


@pytest.mark.parametrize(
    "message",
    [
        'Failed to parse messages: Missing \'role\' in message: {"content":"my secret"}',
        'Failed to parse tools: Unsupported tool type: {"type":"my secret"}; tools = []',
        "image input is not supported - hint: you may need to provide the mmproj",
        "input (9002 tokens) is too large to process. increase it (current batch size: 512)",
    ],
)
def test_the_clients_errors_that_come_as_500_are_refusals(message: str) -> None:
    error = error_of(500, message)
    assert isinstance(error, EngineRefused)
    assert "secret" not in error.message


def test_a_refusal_keeps_the_engines_reason_and_drops_what_it_repeats() -> None:
    error = error_of(400, 'Unsupported content: {"text":"my secret"}', "invalid_request_error")
    assert error.message == "the engine refused the request: Unsupported content"


def test_a_failure_says_nothing_of_the_engines_insides() -> None:
    error = error_of(500, "GGML_ASSERT at /home/me/x.cpp")
    assert isinstance(error, EngineFailed)
    assert "/home" not in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, EngineFailed),
        (404, EngineProtocolError),
        (429, EngineOverloaded),
        (503, EngineOverloaded),
    ],
)
def test_statuses_without_a_llama_body_keep_their_meaning(
    status: int, kind: type[AdapterError]
) -> None:
    error = error_of_response(Response(status, "text/html", b"<html>", retry_after_ms=2_000))
    assert type(error) is kind
    if kind is EngineOverloaded:
        assert error.retry_after_ms == 2_000
