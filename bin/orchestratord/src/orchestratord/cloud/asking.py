"""Having a node say now what its next heartbeat would."""

import asyncio

from api_types import ApiError, ErrorCode, PoolList
from orchestratord.cloud.checks import PoolChecks
from orchestratord.cloud.client import NodeClient
from service_discovery_types import RegisterRequest
from service_registry import RefusalCode, Refused, ServiceRegistry

ASKED_AT_MOST = 5
"""How often a node is asked at a time while it talks faster than it answers."""


class Asking:
    """Asks nodes, and tells the registry what they answer."""

    def __init__(self, registry: ServiceRegistry, client: NodeClient, checks: PoolChecks) -> None:
        self._registry = registry
        self._client = client
        self._checks = checks

    async def ask(self, node_id: str) -> None:
        """Ask a node how it is; one that has left is not asked. Raises ApiError.

        A message of the node may overtake its answer, which is then nothing to go by: that message
        may tell of one pool only. So it is asked again.
        """
        for _ in range(ASKED_AT_MOST):
            refused = await self._ask_once(node_id)
            if refused is None or refused.code is not RefusalCode.STALE_INCARNATION:
                break

    async def _ask_once(self, node_id: str) -> Refused | None:
        node = self._registry.get(node_id)
        if node is None:
            return None
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
        return self._registry.polled(told, pools.pools)
