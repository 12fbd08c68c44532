"""Messages of made-up nodes, and a clock that tests set."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from node_types import NodeCapabilities
from pool_registry_types import HealthState, PoolSnapshot
from service_discovery_types import (
    DeregisterRequest,
    HeartbeatRequest,
    PoolReadyCallback,
    RegisterRequest,
)

_CAPABILITIES = NodeCapabilities(cpu_cores=8, ram_total_bytes=2**36)


@dataclass(slots=True)
class SetClock:
    """A clock in milliseconds that stands still until it is set."""

    now_ms: int = 1_000_000

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ms

    def advance(self, by_ms: int) -> None:
        """Let time pass."""
        self.now_ms += by_ms


def pool(pool_id: str = "chat", *, slots: int = 4, draining: bool = False) -> PoolSnapshot:
    """Make the report of a pool that is ready."""
    return PoolSnapshot(
        pool_id=pool_id,
        live=True,
        ready=not draining,
        draining=draining,
        slots_total=slots,
        slots_free=slots,
        active_leases=0,
        vram_total_bytes=0,
        vram_free_bytes=0,
        engine="llamacpp",
        state=HealthState.DRAINING if draining else HealthState.READY,
    )


@dataclass(slots=True)
class MadeUpNode:
    """One start of a node's program: makes its messages, each with the next number."""

    node_id: str = "gpu-a"
    address: str = ""
    incarnation: UUID = field(default_factory=uuid4)
    seq: int = 0

    def restarted(self, address: str | None = None) -> "MadeUpNode":
        """Make the next start of the same node."""
        return MadeUpNode(self.node_id, self.address if address is None else address)

    def register(self, **labels: str) -> RegisterRequest:
        """Make a registration."""
        return RegisterRequest(
            **self._stamp(),
            machine_id="machine",
            address=self.address or f"https://{self.node_id}.example:9200",
            pools=("chat",),
            capabilities=_CAPABILITIES,
            version="0.1.0",
            labels=labels,
        )

    def heartbeat(self, *pools: PoolSnapshot) -> HeartbeatRequest:
        """Make a heartbeat; without pools, with one that is ready."""
        return HeartbeatRequest(**self._stamp(), timestamp=0, pools=pools or (pool(),))

    def pool_ready(self, ready: PoolSnapshot) -> PoolReadyCallback:
        """Make a callback."""
        return PoolReadyCallback(**self._stamp(), pool=ready)

    def deregister(self) -> DeregisterRequest:
        """Make a farewell."""
        return DeregisterRequest(**self._stamp())

    def _stamp(self) -> dict[str, Any]:
        self.seq += 1
        return {"node_id": self.node_id, "incarnation": self.incarnation, "seq": self.seq}
