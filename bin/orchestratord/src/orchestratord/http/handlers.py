"""What a handler is, and how a route of the contract gets one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from aiohttp import web

import http_shell
from api_types import Route
from http_shell import Call
from orchestratord.http.rounds import Rounds
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
    rounds: Rounds
    """In which all event streams are looked after."""


Handler: TypeAlias = Callable[[Context, Call[Any, Any]], Awaitable[web.StreamResponse]]


def bind(
    route: Route, handler: Handler, context: Context
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Check each request against its route before the handler sees it."""
    return http_shell.bind(route, partial(handler, context), max_body_bytes=context.max_body_bytes)
