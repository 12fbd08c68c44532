"""OpenAI's HTTP dialect, as far as engines speak it: bodies, streams, errors, stops."""

from worker_http.openai_dialect.calls import OpenAiCalls
from worker_http.openai_dialect.dialect import (
    OPENAI_SAMPLING,
    RESPONSE_FORMAT,
    Dialect,
)
from worker_http.openai_dialect.refusals import decoded_answer, error_of_response
from worker_http.openai_dialect.stops import Load, wait_until_gone
from worker_http.openai_dialect.stream import StreamReader
from worker_http.openai_dialect.wire import ModelCard

__all__ = [
    "OPENAI_SAMPLING",
    "RESPONSE_FORMAT",
    "Dialect",
    "Load",
    "ModelCard",
    "OpenAiCalls",
    "StreamReader",
    "decoded_answer",
    "error_of_response",
    "wait_until_gone",
]
