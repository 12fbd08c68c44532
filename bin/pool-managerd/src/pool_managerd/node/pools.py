"""The pools of this node, and whether the node as a whole still takes work."""

import asyncio
import time
from collections.abc import Callable

from local_pool_manager import (
    Lease,
    LocalPoolManager,
    PoolCourse,
    PoolDraining,
    PoolObserver,
    ReplicaEndpoint,
)
from pool_managerd.node.demand import ToldDemand
from pool_registry_types import HealthState, PoolSnapshot
from service_discovery_types import PoolDemand


class NodePools:
    """The pools as the node shows them; a node that leaves takes no new task in any of them.

    Leaving is no drain of the pools, which would hold after a restart: it ends with the process.
    """

    def __init__(self, pools: LocalPoolManager, observer: PoolObserver) -> None:
        self._pools = pools
        self._course = PoolCourse(
            observer, pools.snapshot, known=pools.snapshots(), now_ms=_monotonic_ms
        )
        self._demand = ToldDemand(pools, now_ms=_monotonic_ms)
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._subscribers: list[Callable[[], None]] = []
        self.leaving: str | None = None
        """Why the node takes no more work."""
        pools.subscribe(self._course.look, leases=False)
        pools.subscribe(lambda _pool_id: self._tell(), leases=False)

    def snapshots(self) -> tuple[PoolSnapshot, ...]:
        """Return how every pool is."""
        return tuple(self._as_shown(snapshot) for snapshot in self._pools.snapshots())

    def snapshot(self, pool_id: str) -> PoolSnapshot:
        """Return how one pool is; raises PoolNotFound."""
        return self._as_shown(self._pools.snapshot(pool_id))

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call back soon after each change of a pool, or of all of them; a lease is none."""
        self._subscribers.append(callback)

    def drain(self, pool_id: str, deadline_ms: int) -> None:
        """Take no new task in a pool, also after a restart."""
        self._pools.drain(pool_id, deadline_ms)

    def resume(self, pool_id: str) -> None:
        """End a drain."""
        self._pools.resume(pool_id)

    def reload(self, pool_id: str, new_model_ref: str) -> None:
        """Begin to change the model of a pool; its `last_error` tells if that failed."""
        outcome = self._pools.reload(pool_id, new_model_ref)
        self._course.follow_reload(pool_id, new_model_ref, outcome)

    def demand(self, pool_id: str, told: PoolDemand) -> bool:
        """Take what tasks wait for, unless newer is known; raises PoolError."""
        return self._demand.take(pool_id, told)

    def preload(self, pool_id: str) -> None:
        """Start the engines of a pool that waits."""
        self._pools.preload(pool_id)

    def leave(self, reason: str) -> None:
        """Take no new task in any pool from now on."""
        self.leaving = self.leaving or reason
        self._tell()

    async def emptied(self) -> None:
        """Return once no task runs."""
        await self._idle.wait()

    # Engines, as the relay needs them

    def endpoint(self, pool_id: str, replica_id: str) -> ReplicaEndpoint:
        """Return where a ready engine is; raises PoolError."""
        return self._pools.endpoint(pool_id, replica_id)

    def acquire(
        self,
        pool_id: str,
        replica_id: str,
        task_key: str,
        *,
        on_revoked: Callable[[str], None] | None = None,
    ) -> Lease:
        """Lease a slot; raises PoolError."""
        if self.leaving is not None:
            raise PoolDraining(f"this node takes no new task: {self.leaving}")
        lease = self._pools.acquire(pool_id, replica_id, task_key, on_revoked=on_revoked)
        if not self._running:
            self._idle.clear()
        self._running += 1
        return lease

    def release(self, lease: Lease) -> None:
        """Give a slot back."""
        self._pools.release(lease)
        self._running -= 1
        if not self._running:
            self._idle.set()

    def _as_shown(self, snapshot: PoolSnapshot) -> PoolSnapshot:
        if self.leaving is None:
            return snapshot
        replicas = tuple(
            replica.model_copy(
                update={
                    "slots_free": 0,
                    "health": replica.health.model_copy(update={"ready": False, "draining": True}),
                }
            )
            for replica in snapshot.replicas
        )
        state = HealthState.DRAINING if snapshot.ready else snapshot.state
        return snapshot.model_copy(
            update={
                "draining": True,
                "ready": False,
                "slots_free": 0,
                "state": state,
                "replicas": replicas,
            }
        )

    def _tell(self) -> None:
        for callback in self._subscribers:
            callback()


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
