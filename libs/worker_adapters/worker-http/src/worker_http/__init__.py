"""The HTTP client of all adapters: pooled connections, streams, SSE decoding, statuses."""

from worker_http.alike import AlikeEvents
from worker_http.begun import BegunStream
from worker_http.chunks import decoded, decoded_whole
from worker_http.client import ClientLimits, EngineClient
from worker_http.connection import Departure
from worker_http.context import task_headers
from worker_http.endpoint import Endpoint, Headers
from worker_http.exchange import EVENT_STREAM, OnData, Response
from worker_http.runs import BegunRun
from worker_http.sse import SseDecoder, SseEvent
from worker_http.statuses import error_of_status

__all__ = [
    "EVENT_STREAM",
    "AlikeEvents",
    "BegunRun",
    "BegunStream",
    "ClientLimits",
    "Departure",
    "Endpoint",
    "EngineClient",
    "Headers",
    "OnData",
    "Response",
    "SseDecoder",
    "SseEvent",
    "decoded",
    "decoded_whole",
    "error_of_status",
    "task_headers",
]
