"""What every request passes first and every answer last."""

import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Protocol, TypeAlias

from aiohttp import web

from http_shell.doors import preflight_headers
from http_shell.errors import ErrorMap
from narration_core import (
    TraceParent,
    accept_correlation_id,
    bind_correlation,
    parse_traceparent,
)

CORRELATION_HEADER = "X-Correlation-Id"
UNMATCHED = "unmatched"
CLIENT_GONE = 499
"""The status that is counted where no answer could be given."""
KNOWN_METHODS = frozenset({"GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH"})

CORRELATION_ID = web.RequestKey("correlation_id", str)
ANSWER_HEADERS = web.RequestKey("answer_headers", dict[str, str])
CALLER = web.RequestKey("caller", str)
"""The identity of whoever calls, where the gate has found one."""
ROUTE = web.RequestKey("route", str)
"""The pattern of the path, so that ids make no metric series."""

Inner: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
ErrorAnswer: TypeAlias = Callable[[Exception, str], web.Response]
"""Writes what was raised, given the correlation id."""


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

    def __init__(
        self,
        gate: Gate,
        observer: RequestObserver,
        errors: ErrorMap,
        *,
        answers: Mapping[str, ErrorAnswer] = MappingProxyType({}),
    ) -> None:
        self.errors = errors
        self._gate = gate
        self._observer = observer
        self._answers = answers
        """Prefixes of paths under which errors have another shape than the native one."""

    async def handle(self, request: web.BaseRequest, inner: Inner) -> web.StreamResponse:
        """Answer one request; nothing but a cancel is raised."""
        started = time.monotonic()
        correlation_id, trace = self.correlate(request)
        headers = request[ANSWER_HEADERS]
        status = CLIENT_GONE
        try:
            with bind_correlation(correlation_id, trace):
                try:
                    response = await self._admit(request, inner, headers)
                except Exception as exception:  # noqa: BLE001 - this is where all of them end
                    response = self._after(exception, request, correlation_id)
            status = response.status
            if not response.prepared:
                response.headers.update(headers)
            return response
        finally:
            self.count(
                request.get(ROUTE, UNMATCHED),
                method=request.method if request.method in KNOWN_METHODS else "OTHER",
                status=status,
                since_s=started,
            )

    def correlate(self, request: web.BaseRequest) -> tuple[str, TraceParent | None]:
        """Note under which id the request is told of, and return it with its trace."""
        given = request.headers.getall(CORRELATION_HEADER, [])
        correlation_id = accept_correlation_id(given[0] if len(given) == 1 else None)
        request[CORRELATION_ID] = correlation_id
        request[ANSWER_HEADERS] = {CORRELATION_HEADER: correlation_id}
        return correlation_id, parse_traceparent(request.headers.get("traceparent"))

    def check(self, request: web.BaseRequest) -> None:
        """Ask the gate, and keep what it wants in the answer; raises ApiError."""
        request[ANSWER_HEADERS].update(self._gate.admit(request))

    def answer(self, exception: Exception, path: str, correlation_id: str) -> web.Response:
        """Return the answer to a request that failed, in the form of its path."""
        found = (a for prefix, a in self._answers.items() if path.startswith(prefix))
        return next(found, self.errors.answer)(exception, correlation_id)

    def count(self, route: str, *, method: str, status: int, since_s: float) -> None:
        """Count one answer, by the monotonic clock."""
        duration_ms = (time.monotonic() - since_s) * 1000
        self._observer.request_finished(
            route, method=method, status=status, duration_ms=duration_ms
        )

    async def _admit(
        self, request: web.BaseRequest, inner: Inner, headers: dict[str, str]
    ) -> web.StreamResponse:
        headers.update(self._gate.admit(request))
        if (preflight := preflight_headers(request)) is not None:
            return web.Response(status=204, headers=preflight)
        return await inner(request)

    def _after(
        self, exception: Exception, request: web.BaseRequest, correlation_id: str
    ) -> web.StreamResponse:
        """Answer a request that failed, as far as that is still possible."""
        if request.transport is None or request.transport.is_closing():
            return web.Response(status=CLIENT_GONE)  # Nobody reads it: a write would only fail.
        response = self.answer(exception, request.path, correlation_id)
        if request.writer.output_size > 0:
            # A second answer inside the first would look like its data: break off instead.
            request.transport.abort()
        return response
