"""The pools of this process, where there is no other."""

import asyncio
from collections.abc import Awaitable, Callable

from api_types import ApiError, ErrorCode, PoolView, PurgeRequest
from local_pool_manager import ChangeOutcome, LocalPoolManager
from model_keeper import PoolPurger


class LocalPools:
    """The `Pools` of HOME: a name may carry the node's id, which can only be our own.

    `changed` waits until placement knows what was asked for, before the answer leaves;
    `reloading` is given each change of models, to follow it to its outcome.
    """

    def __init__(
        self,
        node_id: str,
        manager: LocalPoolManager,
        *,
        changed: Callable[[], Awaitable[None]],
        reloading: Callable[[str, str, asyncio.Future[ChangeOutcome]], None],
        purger: PoolPurger,
    ) -> None:
        self._node_id = node_id
        self._manager = manager
        self._changed = changed
        self._reloading = reloading
        self._purger = purger

    async def settled(self) -> None:
        """Return once placement knows of the pools what is shown of them."""
        await self._changed()

    def snapshots(self) -> tuple[PoolView, ...]:
        """Return how every pool is."""
        return tuple(PoolView.of(pool, node_id=self._node_id) for pool in self._manager.snapshots())

    def snapshot(self, pool_id: str) -> PoolView:
        """Return how one pool is. Raises ApiError and PoolError."""
        found = self._manager.snapshot(self._own(pool_id))
        return PoolView.of(found, node_id=self._node_id)

    async def drain(self, pool_id: str, deadline_ms: int) -> PoolView:
        """Take no new task. Raises ApiError and PoolError."""
        self._manager.drain(self._own(pool_id), deadline_ms)
        await self._changed()
        return self.snapshot(pool_id)

    async def resume(self, pool_id: str) -> PoolView:
        """End a drain. Raises ApiError and PoolError."""
        self._manager.resume(self._own(pool_id))
        await self._changed()
        return self.snapshot(pool_id)

    async def reload(self, pool_id: str, new_model_ref: str) -> PoolView:
        """Begin to change the model. Raises ApiError and PoolError."""
        own = self._own(pool_id)
        self._reloading(own, new_model_ref, self._manager.reload(own, new_model_ref))
        await self._changed()
        return self.snapshot(pool_id)

    async def purge(self, pool_id: str, wish: PurgeRequest) -> PoolView:
        """Begin to delete what it takes of the disk. Raises ApiError and PoolError."""
        await self._purger.begin(self._own(pool_id), wish)
        await self._changed()
        return self.snapshot(pool_id)

    def _own(self, name: str) -> str:
        node_id, separator, pool_id = name.rpartition(":")
        if separator and node_id != self._node_id:
            raise ApiError(
                ErrorCode.POOL_NOT_FOUND,
                f"this machine is {self._node_id}; there is no pool of node {node_id} here",
            )
        return pool_id
