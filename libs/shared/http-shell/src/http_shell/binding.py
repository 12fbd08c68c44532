"""How a route of a contract gets its handler."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from aiohttp import web

from api_types import Route
from http_shell.call import Call, answer_type_of, body_of, offered_by, path_of, query_of
from http_shell.doors import IDENTITY
from http_shell.edge import ANSWER_HEADERS, CALLER, CORRELATION_ID, ROUTE

Handler: TypeAlias = Callable[[Call[Any, Any]], Awaitable[web.StreamResponse]]


def bind(
    route: Route, handler: Handler, *, max_body_bytes: int
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Check each request against its route before the handler sees it."""
    offered = offered_by(route)

    async def handle(request: web.Request) -> web.StreamResponse:
        request[ROUTE] = route.path
        path = path_of(request, route)
        answer_type = answer_type_of(request, offered)
        query = query_of(request, route)
        body, size_bytes = await body_of(request, route, max_bytes=max_body_bytes)
        call: Call[Any, Any] = Call(
            request=request,
            path=path,
            query=query,
            body=body,
            size_bytes=size_bytes,
            answer_type=answer_type,
            identity=request.get(CALLER, IDENTITY),
            correlation_id=request[CORRELATION_ID],
            answer_headers=request[ANSWER_HEADERS],
        )
        return await handler(call)

    return handle
