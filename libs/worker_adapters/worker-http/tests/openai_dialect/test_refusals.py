"""Errors as engines word them, and what becomes of them."""

import pytest

from adapter_api import EngineFailed, EngineOverloaded, EngineProtocolError, EngineRefused
from worker_http import Response
from worker_http.openai_dialect import error_of_response


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"top_k must be -1 or larger","type":"x","param":null,"code":400}}',
        b'{"object":"error","message":"top_k must be -1 or larger","type":"x","code":400}',
        b'{"error":"top_k must be -1 or larger","error_type":"validation"}',
    ],
    ids=["openai", "flat", "tgi"],
)
def test_the_engines_word_is_found_in_every_envelope(body: bytes) -> None:
    error = error_of_response(Response(400, "application/json", body))
    assert isinstance(error, EngineRefused)
    assert error.message == "the engine refused the request: top_k must be -1 or larger"


def test_what_an_engine_may_repeat_is_left_out() -> None:
    body = b'{"error":{"message":"1 validation error:\\n  {\'input\': \'my secret\'}","code":400}}'
    error = error_of_response(Response(400, "application/json", body))
    assert "validation error" in error.message
    assert "secret" not in error.message


def test_an_apostrophe_ends_no_sentence() -> None:
    body = b'{"error":{"message":"This model\'s maximum context length is 1024.","code":400}}'
    error = error_of_response(Response(400, "application/json", body))
    assert error.message.endswith("This model's maximum context length is 1024.")


def test_a_failure_says_nothing_of_the_engines_insides() -> None:
    body = b'{"error":{"message":"CUDA error at /srv/model","code":500}}'
    error = error_of_response(Response(500, "application/json", body))
    assert isinstance(error, EngineFailed)
    assert "/srv" not in error.message


def test_statuses_without_a_body_of_the_dialect_keep_their_meaning() -> None:
    for status, kind in ((401, EngineFailed), (404, EngineProtocolError), (503, EngineOverloaded)):
        assert type(error_of_response(Response(status, "text/html", b"<html>"))) is kind
    assert type(error_of_response(Response(200, "text/html", b"<html>"))) is EngineProtocolError
