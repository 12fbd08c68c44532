"""What a handler is, and how a route of the contract gets one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

from api_types import Route
from orchestratord.http.call import Call, answer_type_of, body_of, path_of, query_of
from orchestratord.http.doors import IDENTITY
from orchestratord.http.edge import ANSWER_HEADERS, CORRELATION_ID, ROUTE
from orchestratord.http.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every handler is given besides its call."""

    services: Services
    node_id: str
    device_policy: str
    version: str
    routes: tuple[Route, ...]
    """All that there are, for the document that describes them."""
    started_ms: int
    max_body_bytes: int
    keep_alive_s: float
    """After how much silence an event stream gets a comment line."""
    stall_limit_s: float
    """How long a reader of an event stream may take nothing."""


Handler: TypeAlias = Callable[[Context, Call[Any, Any]], Awaitable[web.StreamResponse]]


def bind(
    route: Route, handler: Handler, context: Context
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Check each request against its route before the handler sees it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        request[ROUTE] = route.path
        path = path_of(request, route)
        answer_type = answer_type_of(request, route)
        query = query_of(request, route)
        body, size_bytes = await body_of(request, route, max_bytes=context.max_body_bytes)
        answer_headers = request[ANSWER_HEADERS]
        call: Call[Any, Any] = Call(
            request=request,
            path=path,
            query=query,
            body=body,
            size_bytes=size_bytes,
            answer_type=answer_type,
            identity=IDENTITY,
            correlation_id=request[CORRELATION_ID],
            answer_headers=answer_headers,
        )
        return await handler(context, call)

    return handle
