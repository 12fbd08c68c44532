"""The part of a control plane that hears nodes, without HTTP, and what made-up nodes say."""

import asyncio

from adapter_host import AdapterHost
from mock_adapter import MockAdapter
from multi_node_placement import ClusterView
from orchestrator_core import ReplicaKey
from orchestratord.access import Access
from orchestratord.cloud.directory import ClusterDirectory
from orchestratord.cloud.feed import NodeFeed, Way
from orchestratord.cloud.reports import Heartbeats
from pool_registry_types import PoolSnapshot, ReplicaSnapshot
from service_discovery_types import HeartbeatRequest
from service_registry import RegistryEvent, ServiceRegistry
from service_registry.testing import MadeUpNode, SetClock, pool


class Plane:
    """The part of a control plane that hears nodes and decides by what they say."""

    def __init__(self, access: Access) -> None:
        self.clock = SetClock()
        self.cluster = ClusterView()
        self.rounds = 0
        self.ways: list[Way] = []
        """How engines were reached, each time that an adapter was made."""
        self.registry = ServiceRegistry(self._pass_on, now_ms=self.clock)
        self.feed = NodeFeed(
            cluster=self.cluster,
            host=AdapterHost(),
            directory=ClusterDirectory(self.registry.nodes, aliases={}),
            access=access,
            changed=self._changed,
            adapters={"llamacpp": self._reach},
        )
        self.heartbeats = Heartbeats(self.registry)

    def _reach(self, way: Way) -> MockAdapter:
        self.ways.append(way)
        return MockAdapter()

    def _pass_on(self, event: RegistryEvent) -> None:
        self.feed.on_event(event)

    def _changed(self) -> None:
        self.rounds += 1

    def hear(self, message: HeartbeatRequest) -> None:
        """Take a heartbeat as it comes from the wire."""
        assert self.heartbeats.hear(message.node_id, message.model_dump_json().encode()).success

    async def know(self, node: MadeUpNode, *pools: PoolSnapshot) -> None:
        """Hear a node until there is nothing left to find out about its engines."""
        self.registry.register(node.register())
        self.hear(node.heartbeat(*pools))
        await self.feed.caught_up()
        while len(self.feed.descriptions) < len(list(self.cluster.replicas())):
            await asyncio.sleep(0)
        await self.feed.caught_up()

    def free(self, pool_id: str = "chat") -> int:
        """Tell how many slots placement sees."""
        return self.cluster.slots_free(ReplicaKey("gpu-a", pool_id, "r0"))


def ready(pool_id: str = "chat", *, busy: int = 0) -> PoolSnapshot:
    health = {"state": "ready", "live": True, "ready": True}
    replica = ReplicaSnapshot(
        replica_id="r0",
        health=health,
        slots_total=4,
        slots_free=4 - busy,
        active_leases=busy,
        model_id="tiny",
    )
    return pool(pool_id).model_copy(update={"replicas": (replica,), "model_id": "tiny"})
