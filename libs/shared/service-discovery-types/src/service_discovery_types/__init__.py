"""The messages with which a node registers, reports and leaves."""

from service_discovery_types.messages import (
    CallbackRegistration,
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    ModelDemand,
    NodeMessage,
    PoolDemand,
    PoolDemandResponse,
    PoolReadyCallback,
    PoolReadyResponse,
    RegisterRequest,
    RegisterResponse,
)

__all__ = [
    "CallbackRegistration",
    "DeregisterRequest",
    "DeregisterResponse",
    "HeartbeatRequest",
    "HeartbeatResponse",
    "ModelDemand",
    "NodeMessage",
    "PoolDemand",
    "PoolDemandResponse",
    "PoolReadyCallback",
    "PoolReadyResponse",
    "RegisterRequest",
    "RegisterResponse",
]
