import asyncio
import cProfile
from collections.abc import Callable

import pytest

from pool_registry_types import PoolSnapshot, ReplicaSnapshot
from service_discovery_types import HeartbeatRequest
from service_registry import NodeOffline, NodeOnline, NodeReported, ServiceRegistry
from service_registry.testing import MadeUpNode, SetClock, pool


@pytest.fixture
def clock():
    return SetClock()


async def test_changes_are_told_to_the_subscriber_and_time_is_the_control_planes_own(clock):
    events = []
    node = MadeUpNode("gpu-a")
    ticks = asyncio.Queue()
    looked = asyncio.Queue()

    async def pause(seconds):
        await looked.put(seconds)
        await ticks.get()

    async with ServiceRegistry.running(events.append, now_ms=clock, pause=pause) as registry:
        assert registry.register(node.register()).success
        assert registry.heartbeat(node.heartbeat()).success
        await looked.get()
        clock.advance(30_000)
        ticks.put_nowait(None)
        assert await looked.get() == 1.0
    assert [type(event) for event in events] == [NodeOnline, NodeReported, NodeOffline]
    assert events[-1].node == registry.get("gpu-a")


def test_every_message_is_answered_as_it_goes_over_the_wire(clock):
    registry = ServiceRegistry(lambda _: None, now_ms=clock)
    node = MadeUpNode("gpu-a")
    assert registry.register(node.register()).heartbeat_interval_ms == 10_000
    assert registry.heartbeat(node.heartbeat()).next_heartbeat_ms == 10_000
    assert registry.pool_ready(node.pool_ready(pool())).success
    assert registry.polled(node.register(), [pool()]) is None
    assert registry.set_draining("gpu-a", True)
    assert not registry.set_draining("gpu-b", True)
    registry.report_call_outcome("gpu-a", False)
    assert registry.health().unreachable == 1
    assert registry.deregister(node.deregister()).success
    assert not registry.remove("gpu-a")
    assert list(registry.nodes()) == []


async def test_a_subscriber_that_fails_ends_the_registry_loudly(clock):
    ticks = asyncio.Queue()

    def fail(event):
        if isinstance(event, NodeOffline):
            raise RuntimeError("cannot take it")

    async def run():
        running = ServiceRegistry.running(fail, now_ms=clock, pause=lambda _: ticks.get())
        async with running as registry:
            registry.register(MadeUpNode("gpu-a").register())
            clock.advance(30_000)
            ticks.put_nowait(None)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await run()


def test_to_hear_a_thousand_nodes_takes_few_calls(clock):
    """Each with five pools, from JSON, every ten seconds; and a look for stale ones a second."""
    registry = ServiceRegistry(lambda _: None, now_ms=clock)
    pools = tuple(with_replica(pool(f"pool-{number}")) for number in range(5))
    nodes = [MadeUpNode(f"gpu-{number}") for number in range(1_000)]
    for node in nodes:
        registry.register(node.register())
    bodies = [node.heartbeat(*pools).model_dump_json() for node in nodes]

    read = [HeartbeatRequest.model_validate_json(body) for body in bodies]

    def hear() -> None:
        for message in read:
            registry.heartbeat(message)
        for _ in range(10):
            clock.advance(1_000)
            registry.check_stale_nodes()

    called = calls(hear) / len(nodes)
    assert registry.health().online == 1_000
    print(f"{called:.1f} calls of functions a heartbeat")
    assert called < 80

    leases = list(registry.nodes())

    def hear_again() -> None:
        for lease in leases:
            assert registry.heartbeat_after(lease, lease.seq, lease.pools) is lease

    called = calls(hear_again) / len(nodes)
    print(f"{called:.1f} where it says again what was said")
    assert called < 9


def calls(work: Callable[[], object]) -> int:
    """Count the calls of functions, Python's and C's, that something takes."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def with_replica(of: PoolSnapshot) -> PoolSnapshot:
    health = {"state": "ready", "live": True, "ready": True}
    replica = ReplicaSnapshot(replica_id="r0", health=health, slots_total=4, slots_free=4, pid=7)
    return of.model_copy(update={"replicas": (replica,)})
