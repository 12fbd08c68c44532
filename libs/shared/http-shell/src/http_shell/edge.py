"""What every request passes first and every answer last."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from aiohttp import web

from http_shell.doors import preflight_headers
from http_shell.errors import ErrorMap
from narration_core import accept_correlation_id, bind_correlation, parse_traceparent

CORRELATION_HEADER = "X-Correlation-Id"
UNMATCHED = "unmatched"
KNOWN_METHODS = frozenset({"GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH"})

CORRELATION_ID = web.RequestKey("correlation_id", str)
ANSWER_HEADERS = web.RequestKey("answer_headers", dict[str, str])
ROUTE = web.RequestKey("route", str)
"""The pattern of the path, so that ids make no metric series."""

Inner: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Gate(Protocol):
    """Decides who may pass."""

    def admit(self, request: web.BaseRequest) -> Mapping[str, str]:
        """Return headers that every answer to this request carries; raises ApiError to refuse."""
        ...


class RequestObserver(Protocol):
    """Who counts the requests."""

    def request_finished(self, route: str, *, method: str, status: int, duration_ms: float) -> None:
        """Count one answer; `route` is the pattern of its path."""
        ...


class Edge:
    """Correlates, asks the gate, maps errors and counts; around the whole application.

    It stands outside aiohttp's middlewares, because some refusals never reach those.
    """

    def __init__(self, gate: Gate, observer: RequestObserver, errors: ErrorMap) -> None:
        self._gate = gate
        self._observer = observer
        self.errors = errors

    async def handle(self, request: web.BaseRequest, inner: Inner) -> web.StreamResponse:
        """Answer one request; nothing but a cancel is raised."""
        started = time.monotonic()
        given = request.headers.getall(CORRELATION_HEADER, [])
        correlation_id = accept_correlation_id(given[0] if len(given) == 1 else None)
        request[CORRELATION_ID] = correlation_id
        headers = request[ANSWER_HEADERS] = {CORRELATION_HEADER: correlation_id}
        trace = parse_traceparent(request.headers.get("traceparent"))
        status = 499
        try:
            with bind_correlation(correlation_id, trace):
                try:
                    response = await self._admit(request, inner, headers)
                except Exception as exception:  # noqa: BLE001 - this is where all of them end
                    response = self.errors.answer(exception, correlation_id)
            status = response.status
            if not response.prepared:
                response.headers.update(headers)
            return response
        finally:
            self._observer.request_finished(
                request.get(ROUTE, UNMATCHED),
                method=request.method if request.method in KNOWN_METHODS else "OTHER",
                status=status,
                duration_ms=(time.monotonic() - started) * 1000,
            )

    async def _admit(
        self, request: web.BaseRequest, inner: Inner, headers: dict[str, str]
    ) -> web.StreamResponse:
        headers.update(self._gate.admit(request))
        if (preflight := preflight_headers(request)) is not None:
            return web.Response(status=204, headers=preflight)
        return await inner(request)
