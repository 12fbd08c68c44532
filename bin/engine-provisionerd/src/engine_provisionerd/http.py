"""Port 9201: /health and /metrics, and nothing else."""

from collections.abc import Callable

from aiohttp import web

from api_types import ROUTES, Liveness
from engine_provisionerd.metrics import ServiceMetrics
from http_shell import Call, Doors, Edge, ErrorMap, bind, json_answer

MAX_BODY_BYTES = 1024
OPERATIONS = ("get_health", "get_metrics")


class Handlers:
    """Answers checked calls, each named like its operation."""

    def __init__(self, metrics: ServiceMetrics, uptime_ms: Callable[[], int]) -> None:
        self._metrics = metrics
        self._uptime_ms = uptime_ms

    async def get_health(self, _call: Call[None, None]) -> web.StreamResponse:
        """Tell that the process lives."""
        return json_answer(Liveness(status="ok", uptime_ms=self._uptime_ms()))

    async def get_metrics(self, _call: Call[None, None]) -> web.StreamResponse:
        """Expose the metrics for Prometheus."""
        text, content_type = self._metrics.exposition()
        return web.Response(body=text, headers={"Content-Type": content_type})


def create_app(metrics: ServiceMetrics, *, uptime_ms: Callable[[], int]) -> web.Application:
    """Build the application."""
    app, handlers = web.Application(), Handlers(metrics, uptime_ms)
    for route in ROUTES:
        if route.operation_id in OPERATIONS:
            handler = getattr(handlers, route.operation_id)
            app.router.add_route(
                route.method, route.path, bind(route, handler, max_body_bytes=MAX_BODY_BYTES)
            )
    return app


def create_edge(metrics: ServiceMetrics, *, bind_host: str) -> Edge:
    """Build what stands around the application."""
    return Edge(Doors.of(bind_host), metrics, ErrorMap())
