"""What an error means: whose fault it is, and what may be said about it."""

import re
from typing import TypeVar

import msgspec

from adapter_api import AdapterError, EngineFailed, EngineProtocolError
from worker_http.exchange import Response
from worker_http.openai_dialect.wire import ErrorBody, ErrorResponse
from worker_http.statuses import error_of_status

_T = TypeVar("_T")

_MAX_TOLD_CHARS = 300
_REPEATS = re.compile(r"[{\[\n`\"]|(?<!\w)'")
"""Behind one of these an engine may repeat what it was sent."""


def error_of_response(response: Response) -> AdapterError:
    """The error for a response that is not the one asked for."""
    if response.status == 200:
        return EngineProtocolError("the engine answered with something other than was asked for")
    told = None
    if response.status < 500 or response.status == 501:  # else it speaks of the engine's insides
        told = _fit_for_clients(_message_of(response.body))
    return error_of_status(response.status, told, retry_after_ms=response.retry_after_ms)


def error_in_stream(error: ErrorBody | str) -> AdapterError:
    """The error that an engine reports when its 200 has long been sent."""
    body = ErrorBody(error) if isinstance(error, str) else error
    if isinstance(body.code, int) and 400 <= body.code < 500:
        return error_of_status(body.code, _fit_for_clients(body.message))
    return EngineFailed("the engine reported an error in the middle of its stream")


def decoded_answer(response: Response, kind: type[_T]) -> _T:
    """The JSON of a response; raises the `AdapterError` that it means otherwise."""
    if response.status != 200:
        raise error_of_response(response)
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EngineProtocolError("the engine's answer is not its JSON") from None


def _message_of(body: bytes) -> str:
    try:
        answer = msgspec.json.decode(body, type=ErrorResponse)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if isinstance(answer.error, ErrorBody):
        return answer.error.message
    return answer.error or answer.message


def _fit_for_clients(message: str) -> str | None:
    told = _REPEATS.split(message, maxsplit=1)[0].strip(" :;,")
    return told[:_MAX_TOLD_CHARS] or None
