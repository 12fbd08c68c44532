"""The headers that a task carries to its engine."""

from adapter_api import TASK_HEADER, EngineRequest
from worker_http.endpoint import Headers


def task_headers(request: EngineRequest) -> Headers:
    """Correlation and trace, and the claim on a slot: for generating requests."""
    headers = [(TASK_HEADER, f"{request.task_id}/{request.attempt}")]
    if request.correlation_id is not None:
        headers.append(("X-Correlation-Id", request.correlation_id))
    if request.traceparent is not None:
        headers.append(("traceparent", request.traceparent))
    return headers
