"""Models staged in the RAM of a machine, and the routes to them."""

from typing import Literal

from api_types.catalog import NodeTrouble
from api_types.catalog_routes import OF_A_NODE
from api_types.errors import ErrorCode
from api_types.resources import NodeQuery
from api_types.routing import Answer, Route
from pool_registry_types import ByteCount, ClientModel, Count, ServiceModel


class StagedView(ServiceModel):
    """A model in the RAM of one node, on its way there, or kept out of it for now."""

    model_id: str
    node_id: str | None = None
    state: Literal["staging", "staged", "failed", "served"]
    """`served`: a pool has it, so it is not kept in RAM as well; pinned it comes back later."""
    size_bytes: ByteCount
    done_bytes: ByteCount = 0
    method: Literal["locked", "preread"] | None = None
    """`locked`: the kernel keeps it; `preread`: only as long as programs leave the memory."""
    why_not_locked: str | None = None
    pinned: bool = False
    error: str | None = None


class CacheView(ServiceModel):
    """`GET /v2/model-cache`; of several nodes the numbers are sums."""

    budget_bytes: ByteCount
    used_bytes: ByteCount
    hits: Count
    """Engines that started with a model that was staged."""
    misses: Count
    evictions: Count
    """Models that had to make room for others."""
    models: tuple[StagedView, ...] = ()
    unanswered: tuple[NodeTrouble, ...] = ()
    """The nodes whose caches are missing."""


class StagingRequest(ClientModel):
    """`POST /v2/model-cache/{model_id}`."""

    pinned: bool = False
    """Never to be evicted, and to come back whenever no pool serves it."""


CACHE_ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v2/model-cache",
        operation_id="get_model_cache",
        summary="What is staged in RAM, the budget, and how often that helped.",
        tag="model-cache",
        query=NodeQuery,
        answers=(Answer.json(CacheView, "The cache."),),
        errors=OF_A_NODE,
    ),
    Route(
        method="POST",
        path="/v2/model-cache/{model_id}",
        operation_id="stage_model",
        summary="Bring a model of the catalog into RAM, in the background.",
        tag="model-cache",
        query=NodeQuery,
        request=StagingRequest,
        request_required=False,
        answers=(Answer.json(StagedView, "It is staged, or soon will be.", 202),),
        errors=(
            *OF_A_NODE,
            ErrorCode.MODEL_NOT_FOUND,
            ErrorCode.MODEL_IN_USE,
            ErrorCode.INSUFFICIENT_RAM,
        ),
    ),
    Route(
        method="DELETE",
        path="/v2/model-cache/{model_id}",
        operation_id="unstage_model",
        summary="Let the RAM of a staged model go, also of a pinned one.",
        tag="model-cache",
        query=NodeQuery,
        answers=(Answer(status=204, description="It is not staged any more."),),
        errors=(*OF_A_NODE, ErrorCode.MODEL_NOT_FOUND),
    ),
)
