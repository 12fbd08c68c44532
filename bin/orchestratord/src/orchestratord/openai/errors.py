"""Errors in the shape of the upstream API, with our code."""

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from api_types import HTTP_STATUS, JSON, ApiError, ErrorBody, ErrorCode
from http_shell import BACKPRESSURE_STATUSES
from orchestratord.http.errors import ERRORS
from pool_registry_types import ServiceModel

PREFIX = "/v1/"

_PARAM = re.compile(r"([A-Za-z_][\w.-]*(?:\[\d+\][\w.\[\]-]*)?): ")
"""A refusal names what it is about first."""
_ENGINES_WORDS = (
    ("has no tools", "tools"),
    ("JSON schema", "response_format"),
    ("grammar", "response_format"),
    ("tokens and a slot's context", "messages"),
)
"""What engines complain about in words of their own."""
_KEPT_HEADERS = frozenset({"Allow", "Cache-Control", "Retry-After", "X-Backoff-Ms"})
_TYPES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


class UpstreamError(ServiceModel):
    """What is inside `error`."""

    message: str
    type: str
    param: str | None
    code: ErrorCode
    llama_orch: ErrorBody
    """The same error as the native API tells it."""


class UpstreamErrorBody(ServiceModel):
    """The JSON body of every error answer under /v1."""

    error: UpstreamError


def upstream(body: ErrorBody) -> bytes:
    """Return the upstream form of a native body."""
    shaped = UpstreamErrorBody(
        error=UpstreamError(
            message=body.message if body.hint is None else f"{body.message}; {body.hint}",
            type=_type_of(body.code),
            param=_param_of(body),
            code=body.code,
            llama_orch=body,
        )
    )
    return msgspec.json.encode(shaped.model_dump(mode="json"))


def openai_answer(exception: Exception, correlation_id: str) -> web.Response:
    """Return the answer to a request under /v1 that raised `exception`.

    Clients of the upstream API read in the headers whether and when to try again.
    """
    native = ERRORS.answer(exception, correlation_id)
    if not isinstance(native.body, bytes):
        raise AssertionError("an error is always told in a body")
    body = ErrorBody.model_validate_json(native.body)
    headers = {name: value for name, value in native.headers.items() if name in _KEPT_HEADERS}
    headers["X-Request-Id"] = correlation_id
    if native.status in BACKPRESSURE_STATUSES or native.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        headers["X-Should-Retry"] = "true" if body.retriable else "false"
    if body.retry_after_ms is not None:
        headers["Retry-After-Ms"] = str(body.retry_after_ms)
        if native.status == HTTPStatus.TOO_MANY_REQUESTS:
            headers["X-RateLimit-Reset-Requests"] = f"{math.ceil(body.retry_after_ms / 1000)}s"
    return web.Response(
        status=native.status, headers=headers, body=upstream(body), content_type=JSON
    )


def _type_of(code: ErrorCode) -> str:
    if code is ErrorCode.BUDGET_EXCEEDED:
        return "insufficient_quota"
    status = HTTP_STATUS[code]
    default = "invalid_request_error" if status < 500 else "server_error"
    return _TYPES.get(status, default)


def _param_of(body: ErrorBody) -> str | None:
    if body.code is ErrorCode.MODEL_NOT_FOUND:
        return "model"
    if body.code is not ErrorCode.INVALID_PARAMS:
        return None
    if found := _PARAM.match(body.message):
        return found[1]
    return next((param for words, param in _ENGINES_WORDS if words in body.message), None)


def failure_of(data: Mapping[str, Any]) -> ApiError:
    """Return the error that the last frame of a task tells."""
    return ApiError(
        ErrorCode(data["code"]),
        data["message"],
        retriable=data["retriable"],
        retry_after_ms=data.get("retry_after_ms"),
        engine=data.get("engine"),
        pool_id=data.get("pool_id"),
    )
