"""The messages with which a node registers, reports and leaves."""

from service_discovery_types.messages import (
    CallbackRegistration,
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    NodeMessage,
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
    "NodeMessage",
    "PoolReadyCallback",
    "PoolReadyResponse",
    "RegisterRequest",
    "RegisterResponse",
]
