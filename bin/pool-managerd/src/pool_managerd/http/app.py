"""The application of port 9200: each route and its handler."""

from aiohttp import web

from api_types import parse_json
from http_shell import ROUTE, Edge, ErrorMap, bind, json_answer, read_body
from local_pool_manager import PoolError
from model_keeper import ModelHandlers
from pool_managerd.http.gate import NodeGate
from pool_managerd.http.handlers import Handlers
from pool_managerd.http.routes import CALLBACKS_PATH, DISK_ROUTES, NODE_ROUTES
from pool_managerd.http.services import NodeServices
from pool_managerd.relay import RELAY_PATH
from service_discovery_types import CallbackRegistration

ERRORS = ErrorMap((PoolError,))


def create_app(services: NodeServices, *, max_body_bytes: int) -> web.Application:
    """Build the application."""
    app = web.Application()
    # First: the router goes through patterns in their order, and this is the path of every token.
    app.router.add_route("*", RELAY_PATH, services.relay.handle)
    own = Handlers(services)
    models = ModelHandlers(services.disks, ERRORS).by_operation()
    for route in (*NODE_ROUTES, *DISK_ROUTES):
        handler = models.get(route.operation_id) or getattr(own, route.operation_id)
        # Not `add_get`, which would answer HEAD as well.
        app.router.add_route(
            route.method, route.path, bind(route, handler, max_body_bytes=max_body_bytes)
        )

    async def register_callback(request: web.Request) -> web.StreamResponse:
        request[ROUTE] = CALLBACKS_PATH
        raw = await read_body(request, max_bytes=max_body_bytes)
        wish = parse_json(CallbackRegistration, raw)
        services.call_back(wish.url)
        return json_answer(wish)

    app.router.add_route("POST", CALLBACKS_PATH, register_callback)
    return app


def create_edge(services: NodeServices, gate: NodeGate) -> Edge:
    """Build what stands around the application."""
    return Edge(gate, services.observer, ERRORS)
