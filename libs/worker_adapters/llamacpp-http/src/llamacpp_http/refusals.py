"""What an error of llama.cpp means: whose fault it is, and what may be said about it."""

import re

import msgspec

from adapter_api import AdapterError, EngineRefused
from llamacpp_http.wire import ErrorBody, ErrorResponse
from worker_http import Response, error_of_status

_CLIENTS_FAULT_AS_500 = (
    ("Failed to parse messages", "the engine cannot read the messages"),
    ("Failed to parse tools", "the engine cannot read the tools"),
    ("image input is not supported", "the model takes no images"),
    ("audio input is not supported", "the model takes no audio"),
)
"""llama.cpp answers these with 500, and repeats the prompt in some of them."""

_TOO_LARGE = re.compile(r"input \((\d+) tokens\) is too large to process.*?size: (\d+)")
_MAX_TOLD_CHARS = 300


def error_of_response(response: Response) -> AdapterError:
    """The error for a response that is not the one asked for."""
    body = _body_of(response)
    if body is None:
        return error_of_status(response.status, retry_after_ms=response.retry_after_ms)
    body.code = response.status
    return error_of_body(body, retry_after_ms=response.retry_after_ms)


def schema_error(response: Response) -> str | None:
    """What is wrong with a JSON schema, if that is what the response is about."""
    body = _body_of(response)
    _, found, told = ("", "", "") if body is None else body.message.partition("JSON schema error ")
    return told[:_MAX_TOLD_CHARS] if found else None


def error_of_body(body: ErrorBody, *, retry_after_ms: int | None = None) -> AdapterError:
    """The error for what the engine reports, as a response or inside a stream."""
    if body.type == "exceed_context_size_error":
        return EngineRefused(
            f"the prompt has {body.n_prompt_tokens} tokens and a slot's context holds {body.n_ctx}"
        )
    if body.code == 500:
        if found := _TOO_LARGE.search(body.message):
            return EngineRefused(
                f"an input has {found[1]} tokens and the engine takes {found[2]} at once"
            )
        for start, told in _CLIENTS_FAULT_AS_500:
            if body.message.startswith(start):
                return EngineRefused(told)
    return error_of_status(body.code, _fit_for_clients(body), retry_after_ms=retry_after_ms)


def _body_of(response: Response) -> ErrorBody | None:
    try:
        return msgspec.json.decode(response.body, type=ErrorResponse).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _fit_for_clients(body: ErrorBody) -> str | None:
    """The engine's sentence up to where it would repeat what it was sent."""
    if body.code >= 500 and body.code != 501:
        return None
    told = re.split(r"[{\n]", body.message, maxsplit=1)[0].strip(" :;")
    return told[:_MAX_TOLD_CHARS] or None
