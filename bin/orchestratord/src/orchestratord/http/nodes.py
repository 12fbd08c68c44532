"""Handlers of nodes: what they say themselves, and what operators ask of them."""

from collections.abc import Iterable

from aiohttp import web

from api_types import (
    Availability,
    DrainRequest,
    ModelAvailability,
    ModelView,
    PoolView,
)
from http_shell import Call, json_answer
from orchestratord.http.handlers import Context
from orchestratord.http.services import Nodes
from service_discovery_types import (
    DeregisterRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    PoolReadyCallback,
    RegisterRequest,
)


async def register_node(context: Context, call: Call[None, RegisterRequest]) -> web.StreamResponse:
    """Take a node in."""
    return begin_register(context, call)


def begin_register(context: Context, call: Call[None, RegisterRequest]) -> web.Response:
    """Answer `register_node`."""
    return json_answer(_nodes(context).register(call.body))


async def heartbeat_node(
    context: Context, call: Call[None, HeartbeatRequest]
) -> web.StreamResponse:
    """Take a node's report."""
    return json_answer(_nodes(context).heartbeat(call.path["node_id"], call.body))


def begin_heartbeat(context: Context, call: Call[None, bytes]) -> HeartbeatResponse:
    """Answer `heartbeat_node`."""
    return _nodes(context).hear(call.path["node_id"], call.body)


async def deregister_node(
    context: Context, call: Call[None, DeregisterRequest | None]
) -> web.StreamResponse:
    """Let a node go, or forget one that does not come back."""
    if call.body is None:
        return json_answer(_nodes(context).remove(call.path["node_id"]))
    return json_answer(_nodes(context).deregister(call.path["node_id"], call.body))


async def pool_ready(context: Context, call: Call[None, PoolReadyCallback]) -> web.StreamResponse:
    """Take what a node says of one pool."""
    return begin_pool_ready(context, call)


def begin_pool_ready(context: Context, call: Call[None, PoolReadyCallback]) -> web.Response:
    """Answer `pool_ready`."""
    return json_answer(_nodes(context).pool_ready(call.body))


async def pool_ready_as_before(
    context: Context, call: Call[None, PoolReadyCallback]
) -> web.StreamResponse:
    """The same at the path that older nodes call."""
    return await pool_ready(context, call)


async def list_nodes(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """List the nodes, and how each stands."""
    return json_answer(_nodes(context).nodes())


async def drain_node(context: Context, call: Call[None, DrainRequest]) -> web.StreamResponse:
    """Start no new task on a node; the answer does not wait for the running ones."""
    standing = await _nodes(context).drain(call.path["node_id"], call.body.deadline_ms)
    return json_answer(standing, status=202)


async def resume_node(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """End a node's drain."""
    return json_answer(await _nodes(context).resume(call.path["node_id"]))


async def get_availability(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """Tell where each model is."""
    services = context.services
    if services.nodes is not None:
        return json_answer(services.nodes.availability())
    models = await services.models.models()
    return json_answer(_here(context.node_id, models, services.pools.snapshots()))


def _here(node_id: str, models: Iterable[ModelView], pools: Iterable[PoolView]) -> Availability:
    """Return the availability on the one node that there is."""
    capacity = {model.model_id: 0 for model in models}
    for replica in (replica for pool in pools for replica in pool.replicas):
        if replica.model_id is not None and replica.health.ready:
            capacity[replica.model_id] = capacity.get(replica.model_id, 0) + replica.slots_total
    return Availability(
        models=tuple(
            ModelAvailability(
                model_id=model_id, nodes=(node_id,), total_nodes=1, total_capacity=slots
            )
            for model_id, slots in sorted(capacity.items())
        )
    )


def _nodes(context: Context) -> Nodes:
    nodes = context.services.nodes
    if nodes is None:
        raise AssertionError("these routes are served only where there are nodes")
    return nodes
