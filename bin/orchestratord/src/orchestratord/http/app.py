"""The application: each route of the contract and its handler."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from aiohttp import web

import http_shell
from api_types import ROUTES
from http_shell import Doors, Edge
from model_keeper import ModelHandlers
from orchestratord import openai
from orchestratord.access import Access
from orchestratord.config import Settings
from orchestratord.http import nodes, pools, resources, tasks
from orchestratord.http.errors import ERRORS
from orchestratord.http.gate import Gate
from orchestratord.http.handlers import Context, Handler, bind
from orchestratord.http.node_routes import NODE_ROUTES
from orchestratord.http.rounds import Rounds
from orchestratord.http.services import Services
from orchestratord.http.short import Begin, ShortRoute, ShortRoutes
from orchestratord.http.sse import KEEP_ALIVE_S
from orchestratord.http.watch import interval_of

HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        handler.__name__: handler
        for handler in (
            tasks.create_task,
            tasks.list_tasks,
            tasks.get_task,
            tasks.stream_task_events,
            tasks.cancel_task,
            tasks.get_session,
            tasks.delete_session,
            pools.list_pools,
            pools.get_pool_health,
            pools.get_pool_status,
            pools.drain_pool,
            pools.resume_pool,
            pools.reload_pool,
            pools.purge_pool,
            nodes.register_node,
            nodes.heartbeat_node,
            nodes.deregister_node,
            nodes.pool_ready,
            nodes.pool_ready_as_before,
            nodes.list_nodes,
            nodes.drain_node,
            nodes.resume_node,
            nodes.get_availability,
            resources.create_artifact,
            resources.list_artifacts,
            resources.get_artifact,
            resources.list_gpus,
            resources.get_node,
            resources.get_capabilities,
            resources.get_version,
            resources.get_health,
            resources.get_readiness,
            resources.get_metrics,
            resources.get_openapi,
        )
    }
)
"""A handler is named like the operation that it answers."""

_READS: Mapping[str, Callable[[bytes], Any]] = MappingProxyType(
    {
        # As it came: most say nothing new, as the nodes' keeper sees without reading them.
        "heartbeat_node": bytes,
        "create_chat_completion": openai.read_chat,
    }
)
"""The bodies that the short way reads by other means than the model of their route."""

METRICS_PORT_OPERATIONS = frozenset({"get_metrics", "get_health", "get_readiness"})


def create_app(
    services: Services,
    settings: Settings,
    *,
    only: frozenset[str] | None = None,
    keep_alive_s: float = KEEP_ALIVE_S,
) -> web.Application:
    """Build the application with all operations of the contract, or only some of them."""
    context = _context(services, settings, keep_alive_s)
    handlers = {**HANDLERS, **_upstream(settings).by_operation()}
    models = ModelHandlers(services.disks, ERRORS, keep_alive_s=keep_alive_s).by_operation()
    app = web.Application()
    for route in context.routes:
        if only is None or route.operation_id in only:
            if (answers := models.get(route.operation_id)) is not None:
                handler = http_shell.bind(route, answers, max_body_bytes=context.max_body_bytes)
            else:
                handler = bind(route, handlers[route.operation_id], context)
            # Not `add_get`, which would answer HEAD as well: a stream has no end to measure.
            app.router.add_route(route.method, route.path, handler)
    return app


def create_short_way(
    services: Services, settings: Settings, edge: Edge, *, keep_alive_s: float = KEEP_ALIVE_S
) -> ShortRoutes:
    """Build the way past aiohttp for what most requests are: streams of tasks, and heartbeats."""
    context = _context(services, settings, keep_alive_s)
    upstream = _upstream(settings)
    begins: Mapping[str, Begin] = {
        "create_task": tasks.begin_task,
        "stream_task_events": tasks.begin_events,
        # All that a node says, since what goes to aiohttp keeps its connection there.
        "register_node": nodes.begin_register,
        "heartbeat_node": nodes.begin_heartbeat,
        "pool_ready": nodes.begin_pool_ready,
        "pool_ready_as_before": nodes.begin_pool_ready,
        "create_chat_completion": upstream.begin_chat_stream,
        "create_completion": upstream.begin_completion_stream,
    }
    return ShortRoutes(
        context,
        edge,
        [
            ShortRoute(
                route,
                begins[route.operation_id],
                _READS.get(route.operation_id),
                openai.edge_headers if route.path.startswith(openai.PREFIX) else None,
            )
            for route in context.routes
            if route.operation_id in begins
        ],
    )


def _context(services: Services, settings: Settings, keep_alive_s: float) -> Context:
    # Past its retention the log of a finished task is gone, and a reader with it.
    stall_limit_s = settings.task_retention_ms / 1000
    return Context(
        services=services,
        node_id=settings.node_id,
        device_policy=settings.device_policy.value,
        version=version("orchestratord"),
        routes=tuple(
            route
            for route in (*ROUTES, *openai.V1_ROUTES, *NODE_ROUTES)
            if settings.remote_nodes or not route.cloud_only
        ),
        started_ms=services.now_ms(),
        max_body_bytes=settings.max_body_bytes,
        keep_alive_s=keep_alive_s,
        stall_limit_s=stall_limit_s,
        rounds=Rounds(interval_of(keep_alive_s=keep_alive_s, stall_limit_s=stall_limit_s)),
    )


def _upstream(settings: Settings) -> openai.OpenAiHandlers:
    return openai.OpenAiHandlers(
        capacity=settings.admission_capacity, aliases=settings.model_aliases
    )


def create_edge(services: Services, settings: Settings, access: Access) -> Edge:
    """Build what stands around the application."""
    browsers = Doors.of(
        settings.bind_addr.host,
        allowed_hosts=settings.allowed_hosts,
        cors_origins=settings.cors_origins,
    )
    gate = Gate(browsers, clients=access.clients, services=access.services)
    return Edge(gate, services.observer, ERRORS, answers={openai.PREFIX: openai.openai_answer})
