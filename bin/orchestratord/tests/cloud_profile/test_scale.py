"""A thousand nodes with five pools each: what hearing them costs, from JSON to placement."""

import asyncio
import time
from pathlib import Path

from adapter_host import AdapterHost
from mock_adapter import MockAdapter
from multi_node_placement import ClusterView
from orchestrator_core import Constraint, Outcome
from orchestratord.access import Access
from orchestratord.cloud.directory import ClusterDirectory
from orchestratord.cloud.feed import NodeFeed
from pool_registry_types import PoolSnapshot, ReplicaSnapshot
from service_discovery_types import HeartbeatRequest
from service_registry import RegistryEvent, ServiceRegistry
from service_registry.testing import MadeUpNode, SetClock, pool

from .conftest import cloud_settings

NODES = 1_000
POOLS = 5


class Plane:
    """The part of a control plane that hears nodes and decides by what they say."""

    def __init__(self, folder: Path) -> None:
        self.registry = ServiceRegistry(self._pass_on, now_ms=SetClock())
        self.cluster = ClusterView()
        self.applied = asyncio.Event()
        directory = ClusterDirectory(self.registry.nodes, aliases={})
        self.feed = NodeFeed(
            cluster=self.cluster,
            host=AdapterHost(),
            directory=directory,
            access=Access(cloud_settings(folder)),
            changed=self.applied.set,
            adapters={"llamacpp": lambda _way: MockAdapter()},
        )

    def _pass_on(self, event: RegistryEvent) -> None:
        self.feed.on_event(event)

    async def hear(self, bodies: list[str]) -> None:
        """Take these heartbeats, and wait until placement knows."""
        self.applied.clear()
        for body in bodies:
            self.registry.heartbeat(HeartbeatRequest.model_validate_json(body))
        await self.applied.wait()


async def test_to_know_a_thousand_nodes_up_to_placement_costs_little_beside_reading_what_they_say(
    tmp_path: Path,
) -> None:
    plane, nodes = Plane(tmp_path), [MadeUpNode(f"gpu-{number:04}") for number in range(NODES)]
    async with asyncio.TaskGroup() as group:
        following = group.create_task(plane.feed.run())
        for node in nodes:
            plane.registry.register(node.register())
        await plane.hear([node.heartbeat(*reports(0)).model_dump_json() for node in nodes])
        assert len(list(plane.cluster.replicas("tiny"))) == NODES * POOLS
        # Every report says something new: its pools have one task more, or one less.
        rounds = [
            [node.heartbeat(*reports(busy)).model_dump_json() for node in nodes]
            for busy in (1, 0, 1)
        ]
        known_s, read_s = [], []
        for bodies in rounds:
            began_s = time.process_time()
            await plane.hear(bodies)
            known_s.append(time.process_time() - began_s)
            began_s = time.process_time()
            for body in bodies:
                HeartbeatRequest.model_validate_json(body)
            read_s.append(time.process_time() - began_s)
        decision = plane.cluster.decide(Constraint(model_id="tiny"))
        following.cancel()
    ratio = min(known_s) / min(read_s)
    print(f"{ratio:.2f} times what reading costs")
    assert decision.outcome is Outcome.PLACED
    assert ratio < 10


def reports(busy: int) -> tuple[PoolSnapshot, ...]:
    """Five pools of four slots, so many of which are taken."""
    health = {"state": "ready", "live": True, "ready": True}
    replica = ReplicaSnapshot(
        replica_id="r0",
        health=health,
        slots_total=4,
        slots_free=4 - busy,
        active_leases=busy,
        model_id="tiny",
        pid=7,
    )
    told = {"replicas": (replica,), "model_id": "tiny"}
    return tuple(pool(f"pool-{number}").model_copy(update=told) for number in range(POOLS))
