"""What this library needs from others."""

import asyncio
from typing import Protocol

from pool_registry_types import ModelReport, PoolSnapshot
from service_discovery_types import HeartbeatResponse


class ControlPlane(Protocol):
    """One control plane that this node registers with; `node_registration` has one."""

    @property
    def url(self) -> str:
        """Its base URL."""

    @property
    def is_registered(self) -> bool:
        """It knows this node."""

    async def registered(self) -> None:
        """Return once it knows this node, however long that takes."""

    async def heartbeat(
        self,
        pools: tuple[PoolSnapshot, ...],
        models: tuple[ModelReport, ...],
        *,
        timestamp_ms: int,
    ) -> HeartbeatResponse | None:
        """Say how the node is; ends in bounded time. None: it was not heard."""


class Pause(Protocol):
    """How the reporter waits."""

    async def __call__(self, wake: asyncio.Event, seconds: float, /) -> None:
        """Return when `wake` is set or so much time has passed."""
