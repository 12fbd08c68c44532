"""The messages of this node, each with the next number of its incarnation."""

from collections.abc import Callable, Iterable
from typing import TypedDict
from uuid import UUID

from node_registration.types import NodeDescription
from node_types import NodeId
from pool_registry_types import ModelReport, PoolSnapshot
from service_discovery_types import (
    DeregisterRequest,
    HeartbeatRequest,
    PoolReadyCallback,
    RegisterRequest,
)


class _Stamp(TypedDict):
    node_id: NodeId
    incarnation: UUID
    seq: int


class NodeMessages:
    """Makes all messages of one start of the node, on whatever channel they leave."""

    def __init__(
        self, node_id: NodeId, incarnation: UUID, describe: Callable[[], NodeDescription]
    ) -> None:
        self._node_id = node_id
        self._incarnation = incarnation
        self._describe = describe
        self._seq = 0

    @property
    def incarnation(self) -> UUID:
        """What tells this start of the node from every other."""
        return self._incarnation

    def register(self) -> RegisterRequest:
        """Make a registration; also what `GET /v2/node` answers."""
        node = self._describe()
        return RegisterRequest(
            **self._stamp(),
            machine_id=node.machine_id,
            address=node.address,
            pools=node.pools,
            models=node.models,
            capabilities=node.capabilities,
            version=node.version,
            labels=dict(node.labels),
        )

    def heartbeat(
        self, pools: Iterable[PoolSnapshot], models: Iterable[ModelReport], *, timestamp_ms: int
    ) -> HeartbeatRequest:
        """Make a heartbeat."""
        return HeartbeatRequest(
            **self._stamp(),
            timestamp=timestamp_ms,
            pools=tuple(pools),
            models=tuple(models),
            labels=dict(self._describe().labels),
        )

    def pool_ready(self, pool: PoolSnapshot) -> PoolReadyCallback:
        """Make a callback."""
        return PoolReadyCallback(**self._stamp(), pool=pool)

    def deregister(self, reason: str | None) -> DeregisterRequest:
        """Make a farewell."""
        return DeregisterRequest(**self._stamp(), reason=reason)

    def _stamp(self) -> _Stamp:
        self._seq += 1
        return {"node_id": self._node_id, "incarnation": self._incarnation, "seq": self._seq}
