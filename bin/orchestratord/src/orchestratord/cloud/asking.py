"""Having a node say now what its next heartbeat would."""

import asyncio

from api_types import ApiError, ErrorCode, PoolList
from orchestratord.cloud.checks import PoolChecks
from orchestratord.cloud.client import NodeClient
from service_discovery_types import RegisterRequest
from service_registry import ServiceRegistry


class Asking:
    """Asks nodes, and tells the registry what they answer."""

    def __init__(self, registry: ServiceRegistry, client: NodeClient, checks: PoolChecks) -> None:
        self._registry = registry
        self._client = client
        self._checks = checks

    async def ask(self, node_id: str) -> None:
        """Ask a node how it is; one that has left is not asked. Raises ApiError."""
        node = self._registry.get(node_id)
        if node is None:
            return
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            # The pools are asked for last: they are at least as new as the number of the message.
            told = await self._client.get(node, "/v2/node", RegisterRequest)
            pools = await self._client.get(node, "/v2/pools", PoolList)
        except ApiError as error:
            if error.code == ErrorCode.NODE_UNAVAILABLE:
                self._checks.unanswered(node_id)
            raise
        self._checks.answered(node_id, pools.pools, 1000 * (now_s() - began_s))
        self._registry.polled(told, pools.pools)
