"""The routes of port 9200, but the relay."""

from api_types import CACHE_ROUTES, CATALOG_ROUTES, JSON, ROUTES, Answer, ErrorCode, Route
from pool_registry_types import PoolSnapshot
from service_discovery_types import PoolDemand, PoolDemandResponse

SHARED_OPERATIONS = (
    *("list_pools", "get_pool_status"),
    *("drain_pool", "resume_pool", "reload_pool", "purge_pool"),
    *("list_gpus", "get_node", "get_health", "get_metrics"),
)
"""What a node answers as orchestratord does."""

OPEN_PATHS = frozenset({"/health", "/metrics"})
"""Without authentication: nothing secret is in them."""

PRELOAD = Route(
    method="POST",
    path="/v2/pools/{pool_id}/preload",
    operation_id="preload_pool",
    summary="Start the engines of a pool that waits for its first wish.",
    tag="pools",
    answers=(
        Answer(
            status=202,
            description="The pool starts, or had started.",
            model=PoolSnapshot,
            content_type=JSON,
        ),
    ),
    errors=(ErrorCode.POOL_NOT_FOUND,),
)

DEMAND = Route(
    method="POST",
    path="/v2/pools/{pool_id}/demand",
    operation_id="tell_demand",
    summary="A control plane tells which models tasks wait for, in place of what it told before.",
    tag="pools",
    request=PoolDemand,
    answers=(
        Answer(
            status=200,
            description="The pool swaps by it, if that is its way.",
            model=PoolDemandResponse,
            content_type=JSON,
        ),
    ),
    errors=(ErrorCode.POOL_NOT_FOUND,),
)

NODE_ROUTES = (
    *(route for route in ROUTES if route.operation_id in SHARED_OPERATIONS),
    PRELOAD,
    DEMAND,
)
DISK_ROUTES = (*CATALOG_ROUTES, *CACHE_ROUTES)
"""Answered by model-keeper, as orchestratord's are."""

CALLBACKS_PATH = "/v2/callbacks/register"
