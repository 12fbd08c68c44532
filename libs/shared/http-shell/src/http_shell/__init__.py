"""What every daemon has around its HTTP handlers: edge, gates, errors, checked calls, server."""

from http_shell.answers import json_answer
from http_shell.binding import Handler, bind
from http_shell.call import (
    BODY_TIMEOUT_S,
    Call,
    answer_type_of,
    check_body,
    negotiate,
    offered_by,
    read_body,
)
from http_shell.doors import IDENTITY, Doors, preflight_headers
from http_shell.edge import (
    ANSWER_HEADERS,
    CALLER,
    CLIENT_GONE,
    CORRELATION_HEADER,
    CORRELATION_ID,
    ROUTE,
    Edge,
    ErrorAnswer,
    Gate,
    RequestObserver,
)
from http_shell.errors import BACKPRESSURE_STATUSES, ErrorMap
from http_shell.loop import run
from http_shell.server import CannotListen, ClientConnection, serving
from http_shell.short import (
    Recall,
    ShortConnection,
    ShortExchange,
    ShortRequest,
    ShortWay,
)
from http_shell.short_answers import HeadTemplate, JsonAnswer, answer_bytes, head_bytes
from http_shell.short_heads import ShortReader
from http_shell.stopping import StopSignals

__all__ = [
    "ANSWER_HEADERS",
    "BACKPRESSURE_STATUSES",
    "BODY_TIMEOUT_S",
    "CALLER",
    "CLIENT_GONE",
    "CORRELATION_HEADER",
    "CORRELATION_ID",
    "IDENTITY",
    "ROUTE",
    "Call",
    "CannotListen",
    "ClientConnection",
    "Doors",
    "Edge",
    "ErrorAnswer",
    "ErrorMap",
    "Gate",
    "Handler",
    "HeadTemplate",
    "JsonAnswer",
    "Recall",
    "RequestObserver",
    "ShortConnection",
    "ShortExchange",
    "ShortReader",
    "ShortRequest",
    "ShortWay",
    "StopSignals",
    "answer_bytes",
    "answer_type_of",
    "bind",
    "check_body",
    "head_bytes",
    "json_answer",
    "negotiate",
    "offered_by",
    "preflight_headers",
    "read_body",
    "run",
    "serving",
]
