"""The handlers of a node, each named like the operation that it answers."""

from typing import Any

from aiohttp import web

from api_types import (
    ApiError,
    DrainRequest,
    ErrorCode,
    Liveness,
    PoolList,
    PurgeRequest,
    ReloadRequest,
)
from http_shell import Call, json_answer
from pool_managerd.http.services import NodeServices
from service_discovery_types import PoolDemand, PoolDemandResponse


class Handlers:
    """Answers checked calls."""

    def __init__(self, services: NodeServices) -> None:
        self._services = services

    async def list_pools(self, _call: Call[None, None]) -> web.StreamResponse:
        """List the pools and their replicas."""
        return json_answer(PoolList.of(self._services.pools.snapshots()))

    async def get_pool_status(self, call: Call[None, None]) -> web.StreamResponse:
        """Tell how a pool is."""
        return json_answer(self._services.pools.snapshot(self._pool_id(call)))

    async def drain_pool(self, call: Call[None, DrainRequest]) -> web.StreamResponse:
        """Start no new task in a pool; the answer does not wait for the running ones."""
        pool_id = self._pool_id(call)
        self._services.pools.drain(pool_id, call.body.deadline_ms)
        return json_answer(self._services.pools.snapshot(pool_id), status=202)

    async def resume_pool(self, call: Call[None, None]) -> web.StreamResponse:
        """End a drain."""
        pool_id = self._pool_id(call)
        self._services.pools.resume(pool_id)
        return json_answer(self._services.pools.snapshot(pool_id))

    async def reload_pool(self, call: Call[None, ReloadRequest]) -> web.StreamResponse:
        """Change the model; the answer does not wait for the outcome."""
        pool_id = self._pool_id(call)
        self._services.pools.reload(pool_id, call.body.new_model_ref)
        return json_answer(self._services.pools.snapshot(pool_id), status=202)

    async def purge_pool(self, call: Call[None, PurgeRequest]) -> web.StreamResponse:
        """Stop its engines and delete what it takes; the answer does not wait for that."""
        pool_id = self._pool_id(call)
        await self._services.purger.begin(pool_id, call.body)
        return json_answer(self._services.pools.snapshot(pool_id), status=202)

    async def preload_pool(self, call: Call[None, None]) -> web.StreamResponse:
        """Start the engines of a pool that waits."""
        pool_id = self._pool_id(call)
        self._services.pools.preload(pool_id)
        return json_answer(self._services.pools.snapshot(pool_id), status=202)

    async def tell_demand(self, call: Call[None, PoolDemand]) -> web.StreamResponse:
        """Take what tasks wait for at a control plane."""
        taken = self._services.pools.demand(self._pool_id(call), call.body)
        return json_answer(PoolDemandResponse(success=taken))

    async def list_gpus(self, _call: Call[None, None]) -> web.StreamResponse:
        """List the GPUs of this machine."""
        return json_answer(self._services.gpus())

    async def get_node(self, _call: Call[None, None]) -> web.StreamResponse:
        """Answer the register message, so that a polled node and a registered one are one."""
        return json_answer(self._services.describe())

    async def get_health(self, _call: Call[None, None]) -> web.StreamResponse:
        """Tell that the process lives."""
        return json_answer(Liveness(status="ok", uptime_ms=self._services.uptime_ms()))

    async def get_metrics(self, _call: Call[None, None]) -> web.StreamResponse:
        """Expose the metrics for Prometheus."""
        text, content_type = self._services.observer.exposition()
        return web.Response(body=text, headers={"Content-Type": content_type})

    def _pool_id(self, call: Call[Any, Any]) -> str:
        """Return the local id of a pool that may be named with its node. Raises ApiError."""
        node_id, separator, pool_id = call.path["pool_id"].rpartition(":")
        if separator and node_id != self._services.node_id:
            raise ApiError(
                ErrorCode.POOL_NOT_FOUND,
                f"this is node {self._services.node_id}; it has no pool of node {node_id}",
            )
        return pool_id
