"""The one place where an exception becomes an HTTP answer."""

import math
from dataclasses import dataclass

from aiohttp import web

from api_types import JSON, ApiError, ErrorCode
from narration_core import get_logger

BACKPRESSURE_STATUSES = frozenset({429, 503})
UNMEASURED_RETRY_AFTER_MS = 1000
"""Where nothing was measured: long enough not to be a storm, short enough to try again."""

_log = get_logger(component="http")


@dataclass(frozen=True, slots=True)
class ErrorMap:
    """Maps whatever was raised to an answer.

    `coded` are the errors of libraries that do not know HTTP: their `code` is a wire name of the
    contract, their text is fit for clients, and `retriable` is theirs to say.
    """

    coded: tuple[type[Exception], ...] = ()
    not_found: str = "there is nothing at this path"
    """What is said about a path that does not exist."""

    def error_of(self, exception: Exception) -> ApiError:
        """Map what a handler raised; the unforeseen is logged here and told without internals."""
        match exception:
            case ApiError() if exception.code != ErrorCode.INTERNAL:
                return exception
            case web.HTTPNotFound():
                return ApiError(ErrorCode.NOT_FOUND, self.not_found)
            case web.HTTPMethodNotAllowed():
                allowed = ", ".join(sorted(exception.allowed_methods))
                return ApiError(
                    ErrorCode.METHOD_NOT_ALLOWED, f"this path takes {allowed}, not this method"
                )
            case web.HTTPException() if exception.status < 500:
                return ApiError(
                    ErrorCode.INVALID_PARAMS, f"the request is refused: {exception.reason}"
                )
        if isinstance(exception, self.coded):
            code = ErrorCode(getattr(exception, "code", ErrorCode.INTERNAL))
            if code != ErrorCode.INTERNAL:
                retriable = bool(getattr(exception, "retriable", False))
                return ApiError(code, str(exception), retriable=retriable)
        _log.error("http_request_failed", exc_info=exception)
        return ApiError(
            ErrorCode.INTERNAL,
            "something went wrong inside; the log has it under this correlation id",
        )

    def answer(self, exception: Exception, correlation_id: str) -> web.Response:
        """Return the answer to a request that raised `exception`."""
        error = self.error_of(exception)
        body = error.body(correlation_id)
        headers = {"Cache-Control": "no-store"}
        if error.status in BACKPRESSURE_STATUSES:
            after_ms = error.retry_after_ms
            if after_ms is None and error.retriable:
                after_ms = UNMEASURED_RETRY_AFTER_MS
            if after_ms is not None:
                headers["Retry-After"] = str(math.ceil(after_ms / 1000))
                headers["X-Backoff-Ms"] = str(after_ms)
            label = error.policy_label or error.code.lower()
            body = body.model_copy(update={"retry_after_ms": after_ms, "policy_label": label})
        if isinstance(exception, web.HTTPMethodNotAllowed):
            headers["Allow"] = ", ".join(sorted(exception.allowed_methods))
        return web.Response(
            status=error.status,
            headers=headers,
            body=body.model_dump_json(exclude_none=True).encode(),
            content_type=JSON,
        )
