"""What this library needs from others."""

from typing import Protocol

from node_registration.types import Failure
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


class ControlPlaneClient(Protocol):
    """Carries messages to one control plane; each call ends in bounded time and never raises."""

    @property
    def url(self) -> str:
        """The base URL, for events and logs."""

    async def register(self, message: RegisterRequest) -> RegisterResponse | Failure:
        """Say hello."""

    async def heartbeat(self, message: HeartbeatRequest) -> HeartbeatResponse | Failure:
        """Say how the node is."""

    async def pool_ready(self, message: PoolReadyCallback) -> PoolReadyResponse | Failure:
        """Say at once what the next heartbeat would say."""

    async def deregister(self, message: DeregisterRequest) -> DeregisterResponse | Failure:
        """Say goodbye."""
