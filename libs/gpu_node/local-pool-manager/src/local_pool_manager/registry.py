"""The records of all pools of the machine, and who is told when one changes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from local_pool_manager.config import PoolConfig, ProvisioningMode, ProvisioningOwner
from local_pool_manager.errors import PoolError, PoolNotFound, ReplicaNotReady
from local_pool_manager.pool import Pool
from local_pool_manager.replica import Replica


class Registry:
    """Finds pools and replicas by name, and tells of their changes once a turn of the loop."""

    def __init__(self, owner: ProvisioningOwner = ProvisioningOwner.MANAGER) -> None:
        self._owner = owner
        self.pools: dict[str, Pool] = {}
        self._subscribers: list[_Subscriber] = []
        self._leases_are_heard = False
        self._changed: dict[str, bool] = {}
        """Pools with whether more of them has changed than leases."""

    def add_pool(
        self, config: PoolConfig, *, model_ref: str | None = None, draining: bool = False
    ) -> Pool:
        """Enter a pool, with its replicas if their engines are ours."""
        pool = self.pools[config.id] = Pool(config, draining=draining, model_ref=model_ref)
        if config.preload:
            pool.wanted.set()
        provisioning = config.provisioning
        ours = provisioning.owner is self._owner
        if ours and provisioning.mode is not ProvisioningMode.EXTERNAL:
            for number in range(config.replicas):
                self.add_replica(pool, f"r{number}", supervised=True)
        return pool

    def add_replica(self, pool: Pool, replica_id: str, *, supervised: bool) -> Replica:
        """Enter a replica."""
        replica = pool.replicas[replica_id] = Replica(
            pool.config.id, replica_id, supervised, prompt_cache=pool.config.caches_prompts
        )
        return replica

    def supervised(self) -> frozenset[tuple[str, str]]:
        """Return the pool and replica ids whose engines an earlier run may have left for us."""
        return frozenset(
            (pool.config.id, replica.replica_id)
            for pool in self.pools.values()
            for replica in pool.supervised
            if pool.model_ref is not None
        )

    def pool(self, pool_id: str) -> Pool:
        """Return a pool; raises `PoolNotFound`."""
        try:
            return self.pools[pool_id]
        except KeyError:
            known = ", ".join(self.pools) or "none"
            raise PoolNotFound(f"no pool {pool_id!r} on this machine; there are: {known}") from None

    def replica(self, pool_id: str, replica_id: str) -> Replica:
        """Return a replica; raises `PoolNotFound`."""
        try:
            return self.pools[pool_id].replicas[replica_id]
        except KeyError:
            known = ", ".join(self.pool(pool_id).replicas) or "none"
            raise PoolNotFound(
                f"no replica {replica_id!r} in pool {pool_id!r}; there are: {known}"
            ) from None

    def not_ready(self, pool_id: str, replica_id: str) -> PoolError:
        """Return the error that says why a replica takes no task."""
        pool = self.pools[pool_id]
        error = pool.replicas[replica_id].last_error
        why = pool.fault or pool.trouble or error or "its engine is starting"
        return ReplicaNotReady(f"{pool_id}/{replica_id} is not ready: {why}")

    def subscribe(
        self, callback: Callable[[str], None], *, leases: bool = True
    ) -> Callable[[], None]:
        """Call back with the pool's id soon after each change; the result ends that.

        Without `leases` the lease of a slot and its end are none, unless the pool drains.
        """
        subscriber = _Subscriber(callback, leases=leases)
        self._subscribers.append(subscriber)
        self._leases_are_heard |= leases
        return partial(self._unsubscribe, subscriber)

    def _unsubscribe(self, subscriber: "_Subscriber") -> None:
        self._subscribers.remove(subscriber)
        self._leases_are_heard = any(each.leases for each in self._subscribers)

    def touch(self, pool_id: str) -> None:
        """Note that a pool has changed."""
        self.pools[pool_id].forget_snapshot()
        self._note(pool_id, more_than_leases=True)

    def leased(self, pool_id: str) -> None:
        """Note that a slot of a pool was taken or given back."""
        pool = self.pools[pool_id]
        pool.forget_snapshot()
        heard = self._leases_are_heard and pool_id not in self._changed
        if heard or pool.draining:
            self._note(pool_id, more_than_leases=pool.draining)

    def _note(self, pool_id: str, *, more_than_leases: bool) -> None:
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._tell)
        self._changed[pool_id] = more_than_leases or self._changed.get(pool_id, False)

    def refresh(self, replica: Replica) -> None:
        """Note that a replica has changed, which may have another engine now."""
        replica.renew()
        self.touch(replica.pool_id)

    def _tell(self) -> None:
        changed, self._changed = self._changed, {}
        for pool_id, more_than_leases in changed.items():
            for subscriber in tuple(self._subscribers):
                if more_than_leases or subscriber.leases:
                    subscriber.callback(pool_id)


@dataclass(frozen=True, slots=True, eq=False)
class _Subscriber:
    callback: Callable[[str], None]
    leases: bool
