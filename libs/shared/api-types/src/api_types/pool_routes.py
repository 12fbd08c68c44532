"""The routes to pools, on whichever daemon they are asked for."""

from api_types.errors import ErrorCode
from api_types.resources import (
    DrainRequest,
    PoolHealth,
    PoolList,
    PoolView,
    PurgeRequest,
    ReloadRequest,
)
from api_types.routing import Answer, Route

OF_A_POOL = (ErrorCode.POOL_NOT_FOUND, ErrorCode.AMBIGUOUS_POOL)
"""How a pool can be named in vain."""

POOL_ROUTES = (
    Route(
        method="GET",
        path="/v2/pools",
        operation_id="list_pools",
        summary="The pools and their replicas.",
        tag="pools",
        answers=(Answer.json(PoolList, "The pools."),),
    ),
    Route(
        method="GET",
        path="/v2/pools/{pool_id}/health",
        operation_id="get_pool_health",
        summary="Whether a pool is live and ready, and its numbers.",
        tag="pools",
        answers=(Answer.json(PoolHealth, "The health of the pool."),),
        errors=OF_A_POOL,
    ),
    Route(
        method="GET",
        path="/v2/pools/{pool_id}/status",
        operation_id="get_pool_status",
        summary="The status of a pool as its node reports it.",
        tag="pools",
        answers=(Answer.json(PoolView, "The status of the pool."),),
        errors=OF_A_POOL,
    ),
    Route(
        method="POST",
        path="/v2/pools/{pool_id}/drain",
        operation_id="drain_pool",
        summary="Start no new task in a pool; what still runs at the deadline is ended.",
        tag="pools",
        request=DrainRequest,
        request_required=False,
        answers=(Answer.json(PoolView, "The pool drains until it is resumed.", 202),),
        errors=(*OF_A_POOL, ErrorCode.NODE_UNAVAILABLE),
    ),
    Route(
        method="POST",
        path="/v2/pools/{pool_id}/resume",
        operation_id="resume_pool",
        summary="End a drain.",
        tag="pools",
        answers=(Answer.json(PoolView, "The pool takes tasks again."),),
        errors=(*OF_A_POOL, ErrorCode.NODE_UNAVAILABLE),
    ),
    Route(
        method="POST",
        path="/v2/pools/{pool_id}/reload",
        operation_id="reload_pool",
        summary="Change the model: the new one serves in the end, or the old one still does.",
        tag="pools",
        request=ReloadRequest,
        answers=(Answer.json(PoolView, "The pool changes; its status tells how it ended.", 202),),
        errors=(*OF_A_POOL, ErrorCode.POOL_BUSY, ErrorCode.NODE_UNAVAILABLE),
    ),
    Route(
        method="POST",
        path="/v2/pools/{pool_id}/purge",
        operation_id="purge_pool",
        summary="Stop the engines of a pool and delete what it takes of the disk; a task or a "
        "reload brings it back.",
        tag="pools",
        request=PurgeRequest,
        answers=(Answer.json(PoolView, "The pool stops; its status tells what was kept.", 202),),
        errors=(
            *OF_A_POOL,
            ErrorCode.POOL_BUSY,
            ErrorCode.MODEL_IN_USE,
            ErrorCode.NODE_UNAVAILABLE,
        ),
    ),
)
