"""From the wishes of a request to the constraint and preferences that placement understands."""

from functools import lru_cache

from api_types import (
    ApiError,
    Determinism,
    ErrorCode,
    PlacementMode,
    TaskRequest,
    Workload,
)
from multi_node_placement import AmbiguousPool, ClusterView, UnknownPool
from orchestrator_core import (
    Constraint,
    PoolRef,
    Preferences,
    Refusal,
    Servable,
)


def goes_anywhere(request: TaskRequest) -> bool:
    """Whether a request, like most, leaves it open where it runs: any replica of its model does."""
    return (
        request.engine is None
        and request.ctx is None
        and request.workload is Workload.COMPLETION
        and request.determinism is not Determinism.STRICT
        and "placement" not in request.model_fields_set
    )


@lru_cache(maxsize=1024)
def any_replica_of(model_id: str) -> Constraint:
    """Return what such a request demands: one object, so that nobody has to compare it."""
    return Constraint(model_id=model_id)


def constraint_of(request: TaskRequest, model_id: str, cluster: ClusterView) -> Constraint:
    """Return what a replica must fulfil; raises `ApiError` for a pool that nobody has."""
    place = request.placement
    fallback = _fallback(request)
    pinned = place.mode is PlacementMode.PIN and not fallback
    only: frozenset[PoolRef] = frozenset()
    if pinned and place.pin_pool_id is not None:
        only = frozenset({_pool(place.pin_pool_id, cluster)})
    elif place.mode is PlacementMode.PREFER and not fallback:
        only = frozenset(_pool(name, cluster) for name in place.prefer_pools)
    return Constraint(
        model_id=model_id,
        workload=request.workload.value,
        engine=request.engine,
        ctx_tokens=request.ctx or 0,
        strict=request.determinism is Determinism.STRICT,
        only_pools=only,
        only_labels=tuple(sorted(place.prefer_labels.items()))
        if place.mode is PlacementMode.PREFER and not fallback
        else (),
        node_id=place.node_id if pinned or place.mode is PlacementMode.AUTO else None,
        device_mask=place.require_device_mask,
        avoid_pools=frozenset(_known_pools(place.avoid_pools, cluster)),
    )


def preferences_of(request: TaskRequest, cluster: ClusterView) -> Preferences:
    """Return what would be nice; unknown pools are passed over."""
    place = request.placement
    wished = place.prefer_pools
    if place.pin_pool_id is not None and _fallback(request):
        wished = (place.pin_pool_id, *wished)
    return Preferences(
        pools=tuple(_known_pools(wished, cluster)),
        labels=place.prefer_labels,
        spread_by=place.spread_by,
    )


def refusal_of(
    servable: Servable, request: TaskRequest, constraint: Constraint, cluster: ClusterView
) -> ApiError:
    """Return why a task that could NEVER be served must not wait."""
    model = constraint.model_id
    if (failed := cluster.swapping.failure(model)) is not None:
        pool, failure = failed
        return ApiError(
            ErrorCode.MODEL_NOT_AVAILABLE,
            f"pool {pool} could not load model {model}: {failure.reason}",
            hint="it may be tried again after retry_after_ms",
            retry_after_ms=failure.retry_ms,
            pool_id=pool.pool_id,
        )
    match servable.reason:
        case None | Refusal.WRONG_MODEL | Refusal.WRONG_DIGEST:
            return ApiError(
                ErrorCode.MODEL_NOT_AVAILABLE,
                f"no pool serves model {model} now",
                hint="GET /v2/pools tells what each pool serves and why one is not ready",
            )
        case Refusal.CTX_TOO_SMALL:
            return ApiError(
                ErrorCode.INVALID_PARAMS,
                f"ctx {constraint.ctx_tokens} is larger than the context that any pool gives "
                f"a task of model {model}",
                hint="GET /v2/meta/capabilities tells ctx_max",
            )
        case Refusal.NOT_STRICT:
            return ApiError(
                ErrorCode.INVALID_PARAMS,
                "determinism strict needs a pool with one slot and its prompt cache off, and "
                "none is configured",
                hint="configure a pool with slots = 1 and prompt_cache = false, or ask for "
                "best_effort",
            )
        case Refusal.NO_WORKLOAD:
            return ApiError(
                ErrorCode.INVALID_PARAMS,
                f"no pool of model {model} offers the workload {constraint.workload}",
                hint="GET /v2/meta/capabilities tells the workloads of each engine",
            )
        case Refusal.WRONG_ENGINE:
            return ApiError(
                ErrorCode.POOL_UNAVAILABLE,
                f"no pool serves model {model} with engine {constraint.engine}",
            )
    if constraint.node_id is not None:
        return ApiError(
            ErrorCode.NODE_UNAVAILABLE,
            f"node {constraint.node_id} serves model {model} on no pool that is ready "
            f"({servable.reason.value})",
        )
    if request.placement.mode is PlacementMode.PIN:
        return ApiError(
            ErrorCode.POOL_UNREADY,
            f"pool {request.placement.pin_pool_id} cannot take a task of model {model} "
            f"({servable.reason.value})",
            pool_id=request.placement.pin_pool_id,
        )
    return ApiError(
        ErrorCode.POOL_UNAVAILABLE,
        f"no pool can take a task of model {model} ({servable.reason.value})",
        hint="GET /v2/pools tells why each pool is not ready",
    )


def _fallback(request: TaskRequest) -> bool:
    given = request.placement.allow_fallback
    return request.placement.mode is PlacementMode.PREFER if given is None else given


def _pool(name: str, cluster: ClusterView) -> PoolRef:
    try:
        return cluster.resolve_pool(name)
    except UnknownPool as error:
        raise ApiError(
            ErrorCode.POOL_NOT_FOUND,
            str(error),
            hint="GET /v2/pools lists the pools",
        ) from None
    except AmbiguousPool as error:
        raise _ambiguous(error) from None


def _ambiguous(error: AmbiguousPool) -> ApiError:
    return ApiError(ErrorCode.AMBIGUOUS_POOL, str(error), candidates=error.candidates)


def _known_pools(names: tuple[str, ...], cluster: ClusterView) -> list[PoolRef]:
    found = []
    for name in names:
        try:
            found.append(cluster.resolve_pool(name))
        except UnknownPool:
            continue
        except AmbiguousPool as error:
            raise _ambiguous(error) from None
    return found
