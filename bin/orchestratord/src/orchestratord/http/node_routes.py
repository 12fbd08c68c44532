"""The routes on which nodes speak: not for clients, and open to the service token only."""

from typing import Any

from api_types import JSON, Answer, ErrorCode, Route
from service_discovery_types import (
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    PoolReadyCallback,
    PoolReadyResponse,
    RegisterRequest,
    RegisterResponse,
)

_REFUSALS = (ErrorCode.NODE_UNKNOWN, ErrorCode.STALE_INCARNATION)


def _answer(model: Any, description: str) -> tuple[Answer]:
    return (Answer(status=200, description=description, model=model, content_type=JSON),)


def _pool_ready(path: str, operation_id: str) -> Route:
    return Route(
        method="POST",
        path=path,
        operation_id=operation_id,
        summary="A node says at once what its next heartbeat would say of a pool.",
        tag="nodes",
        request=PoolReadyCallback,
        answers=_answer(PoolReadyResponse, "It is known now."),
        errors=_REFUSALS,
        cloud_only=True,
    )


NODE_ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v2/nodes/register",
        operation_id="register_node",
        summary="A node has started.",
        tag="nodes",
        request=RegisterRequest,
        answers=_answer(RegisterResponse, "It is known, and is to be heard this often."),
        errors=(ErrorCode.STALE_INCARNATION, ErrorCode.NODE_ID_CONFLICT),
        cloud_only=True,
    ),
    Route(
        method="POST",
        path="/v2/nodes/{node_id}/heartbeat",
        operation_id="heartbeat_node",
        summary="A node lives, and says how its pools are.",
        tag="nodes",
        request=HeartbeatRequest,
        answers=_answer(HeartbeatResponse, "When to hear it again."),
        errors=_REFUSALS,
        cloud_only=True,
    ),
    Route(
        method="DELETE",
        path="/v2/nodes/{node_id}",
        operation_id="deregister_node",
        summary="A node leaves by its own will; without a body, an operator says that it is gone.",
        tag="nodes",
        request=DeregisterRequest,
        request_required=False,
        request_defaults=False,
        answers=_answer(DeregisterResponse, "It is gone."),
        errors=_REFUSALS,
        cloud_only=True,
    ),
    _pool_ready("/v2/callbacks/pool-ready", "pool_ready"),
    _pool_ready("/callbacks/pool-ready", "pool_ready_as_before"),
)
"""A node's message may have fields that this version does not know."""
