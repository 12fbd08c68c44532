"""Having a node say now what its next heartbeat would."""

from api_types import PoolList
from orchestratord.cloud.client import NodeClient
from service_discovery_types import RegisterRequest
from service_registry import ServiceRegistry


class Asking:
    """Asks nodes, and tells the registry what they answer."""

    def __init__(self, registry: ServiceRegistry, client: NodeClient) -> None:
        self._registry = registry
        self._client = client

    async def ask(self, node_id: str) -> None:
        """Ask a node how it is; one that has left is not asked. Raises ApiError."""
        node = self._registry.get(node_id)
        if node is not None:
            # The pools are asked for last: they are at least as new as the number of the message.
            told = await self._client.get(node, "/v2/node", RegisterRequest)
            pools = await self._client.get(node, "/v2/pools", PoolList)
            self._registry.polled(told, pools.pools)
