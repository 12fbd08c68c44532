"""The pools of all nodes: as they report them, and drained by asking them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from api_types import ApiError, DrainRequest, ErrorCode, PoolView, PurgeRequest, ReloadRequest
from orchestrator_core import PoolRef
from orchestratord.cloud.asking import Asking
from orchestratord.cloud.calls import NodeCalls
from orchestratord.cloud.client import NodeClient
from pool_registry_types import PoolSnapshot
from service_registry import NodeLease, ServiceRegistry

NODE_DEADLINE_LATER_MS = 500
"""A node cuts off what still runs; a moment before, the tasks are ended here, with a word."""


class ClusterPools:
    """The `Pools` of CLOUD: named `node_id:pool_id`, or bare where that is unique."""

    def __init__(
        self,
        registry: ServiceRegistry,
        client: NodeClient,
        asking: Asking,
        calls: NodeCalls,
        *,
        placement_knows: Callable[[], Awaitable[None]],
    ) -> None:
        """`placement_knows` waits until placement knows what the registry does."""
        self._registry = registry
        self._client = client
        self._asking = asking
        self._calls = calls
        self.placement_knows = placement_knows

    async def settled(self) -> None:
        """Return once placement knows of the pools what is shown of them."""
        await self.placement_knows()

    def snapshots(self) -> tuple[PoolView, ...]:
        """Return how every pool is."""
        return tuple(
            _view(node, pool)
            for node in self._registry.nodes()
            for pool in sorted(node.pools, key=lambda pool: pool.pool_id)
        )

    def snapshot(self, pool_id: str) -> PoolView:
        """Return how one pool is. Raises ApiError."""
        return _view(*self._find(pool_id))

    async def drain(self, pool_id: str, deadline_ms: int) -> PoolView:
        """Have the node take no new task there. Raises ApiError."""
        node, pool = self._find(pool_id)
        await self._drain(node, pool, deadline_ms)
        return await self._now(node, pool)

    async def resume(self, pool_id: str) -> PoolView:
        """End a drain. Raises ApiError."""
        node, pool = self._find(pool_id)
        await self._resume(node, pool)
        return await self._now(node, pool)

    async def reload(self, pool_id: str, new_model_ref: str) -> PoolView:
        """Have the node change the model. Raises ApiError."""
        node, pool = self._find(pool_id)
        path, wish = f"/v2/pools/{pool.pool_id}/reload", ReloadRequest(new_model_ref=new_model_ref)
        await self._client.post(node, path, PoolSnapshot, wish)
        return await self._now(node, pool)

    async def purge(self, pool_id: str, wish: PurgeRequest) -> PoolView:
        """Have the node delete what the pool takes of its disk. Raises ApiError."""
        node, pool = self._find(pool_id)
        await self._client.post(node, f"/v2/pools/{pool.pool_id}/purge", PoolSnapshot, wish)
        return await self._now(node, pool)

    async def drain_all(self, node: NodeLease, deadline_ms: int) -> None:
        """Drain every pool of a node. Raises ApiError, once each was tried."""
        await _all(self._drain(node, pool, deadline_ms) for pool in node.pools)
        await self._asking.ask(node.node_id)

    async def resume_all(self, node: NodeLease) -> None:
        """End the drain of every pool of a node. Raises ApiError, once each was tried."""
        await _all(self._resume(node, pool) for pool in node.pools)
        await self._asking.ask(node.node_id)

    async def _now(self, node: NodeLease, pool: PoolSnapshot) -> PoolView:
        """Have placement know what was done before the caller does."""
        await self._asking.ask(node.node_id)
        await self.placement_knows()
        return self.snapshot(f"{node.node_id}:{pool.pool_id}")

    async def _drain(self, node: NodeLease, pool: PoolSnapshot, deadline_ms: int) -> None:
        wish = DrainRequest(deadline_ms=min(deadline_ms + NODE_DEADLINE_LATER_MS, 86_400_000))
        await self._client.post(node, f"/v2/pools/{pool.pool_id}/drain", PoolSnapshot, wish)
        asyncio.get_running_loop().call_later(
            deadline_ms / 1000, self._end, PoolRef(node.node_id, pool.pool_id)
        )

    async def _resume(self, node: NodeLease, pool: PoolSnapshot) -> None:
        await self._client.post(node, f"/v2/pools/{pool.pool_id}/resume", PoolSnapshot)

    def _end(self, pool: PoolRef) -> None:
        node = self._registry.get(pool.node_id)
        known = () if node is None else node.pools
        draining = any(each.pool_id == pool.pool_id and each.draining for each in known)
        if draining or (node is not None and node.drain_asked):  # Else it was resumed meanwhile.
            self._calls.revoke(pool)

    def _find(self, name: str) -> tuple[NodeLease, PoolSnapshot]:
        node_id, colon, pool_id = name.partition(":")
        node = self._registry.get(node_id) if colon else None
        nodes: Iterable[NodeLease] = (node,) if node is not None else ()
        if not colon:
            nodes, pool_id = self._registry.nodes(), name
        found = [(node, pool) for node in nodes for pool in node.pools if pool.pool_id == pool_id]
        if len(found) == 1:
            return found[0]
        if not found:
            raise ApiError(
                ErrorCode.POOL_NOT_FOUND,
                f"no node has a pool {name!r}",
                hint="GET /v2/pools lists the pools",
            )
        names = tuple(f"{node.node_id}:{pool.pool_id}" for node, pool in found)
        raise ApiError(
            ErrorCode.AMBIGUOUS_POOL,
            f"pool {name!r} exists on several nodes: {', '.join(names)}",
            candidates=names,
        )


def _view(node: NodeLease, pool: PoolSnapshot) -> PoolView:
    if not node.online:
        # What it last said of itself is nobody's knowledge any more.
        told = {"live": False, "ready": False, "last_error": f"node {node.node_id} is silent"}
        pool = pool.model_copy(update=told)
    return PoolView.of(pool, name=f"{node.node_id}:{pool.pool_id}", node_id=node.node_id)


async def _all(asked: Iterable[Awaitable[None]]) -> None:
    """Wait for all; the first failure is raised once each has been tried."""
    for outcome in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
