"""Handlers of pools."""

from aiohttp import web

from api_types import DrainRequest, PoolHealth, PoolList, PoolMetrics, PurgeRequest, ReloadRequest
from http_shell import Call, json_answer
from orchestratord.http.handlers import Context


async def list_pools(context: Context, _call: Call[None, None]) -> web.StreamResponse:
    """List the pools and their replicas."""
    pools = context.services.pools
    await pools.settled()
    return json_answer(PoolList(pools=pools.snapshots()))


async def get_pool_status(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """Tell how a pool is, as its node reports it."""
    pools = context.services.pools
    # Whoever sees a model served here may submit a task for it next.
    await pools.settled()
    return json_answer(pools.snapshot(call.path["pool_id"]))


async def get_pool_health(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """Tell whether a pool is live and ready, and its numbers."""
    services = context.services
    await services.pools.settled()
    pool = services.pools.snapshot(call.path["pool_id"])
    health = PoolHealth(
        pool_id=pool.pool_id,
        node_id=pool.node_id or context.node_id,
        live=pool.live,
        ready=pool.ready,
        draining=pool.draining,
        state=pool.state,
        engine=pool.engine,
        engine_version=pool.engine_version,
        model_id=pool.model_id,
        device_policy=context.device_policy,
        last_error=pool.last_error,
        metrics=PoolMetrics(
            slots_total=pool.slots_total,
            slots_free=pool.slots_free,
            active_leases=pool.active_leases,
            vram_total_bytes=pool.vram_total_bytes,
            vram_free_bytes=pool.vram_free_bytes,
            queue_depth=services.tasks.queue_depth(pool.model_id) if pool.model_id else 0,
        ),
    )
    return json_answer(health)


async def drain_pool(context: Context, call: Call[None, DrainRequest]) -> web.StreamResponse:
    """Start no new task in a pool; the answer does not wait for the running ones."""
    pool = await context.services.pools.drain(call.path["pool_id"], call.body.deadline_ms)
    return json_answer(pool, status=202)


async def resume_pool(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """End a drain."""
    return json_answer(await context.services.pools.resume(call.path["pool_id"]))


async def reload_pool(context: Context, call: Call[None, ReloadRequest]) -> web.StreamResponse:
    """Change the model; the answer does not wait for the outcome."""
    pools = context.services.pools
    pool = await pools.reload(call.path["pool_id"], call.body.new_model_ref)
    return json_answer(pool, status=202)


async def purge_pool(context: Context, call: Call[None, PurgeRequest]) -> web.StreamResponse:
    """Stop its engines and delete what it takes; the answer does not wait for that."""
    pool = await context.services.pools.purge(call.path["pool_id"], call.body)
    return json_answer(pool, status=202)
