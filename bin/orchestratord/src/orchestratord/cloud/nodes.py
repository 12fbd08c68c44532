"""The nodes: what they say, how they stand, and what is asked of them."""

from collections.abc import Callable

from api_types import ApiError, Availability, ErrorCode, NodeList, NodeStanding
from orchestratord.cloud.directory import ClusterDirectory
from orchestratord.cloud.pools import ClusterPools
from orchestratord.cloud.reports import Heartbeats
from orchestratord.cloud.senders import accepted, check_sender
from service_discovery_types import (
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    PoolReadyCallback,
    PoolReadyResponse,
    RegisterRequest,
    RegisterResponse,
)
from service_registry import LeaseState, NodeLease, ServiceRegistry, monotonic_ms


class ClusterNodes:
    """The `Nodes` of CLOUD."""

    def __init__(
        self,
        registry: ServiceRegistry,
        pools: ClusterPools,
        directory: ClusterDirectory,
        *,
        plaintext: bool,
        now_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        self._registry = registry
        self._pools = pools
        self._directory = directory
        self._plaintext = plaintext
        self._now_ms = now_ms
        self._heartbeats = Heartbeats(registry)

    def register(self, message: RegisterRequest) -> RegisterResponse:
        """Take a node in. Raises ApiError."""
        check_address(message, plaintext=self._plaintext)
        return accepted(self._registry.register(message))

    def heartbeat(self, node_id: str, message: HeartbeatRequest) -> HeartbeatResponse:
        """Take the report of the node that the path names. Raises ApiError."""
        check_sender(node_id, message.node_id)
        return accepted(self._registry.heartbeat(message))

    def hear(self, node_id: str, raw: bytes) -> HeartbeatResponse:
        """Do the same with a report as it came, of which most say nothing new."""
        return self._heartbeats.hear(node_id, raw)

    def deregister(self, node_id: str, message: DeregisterRequest) -> DeregisterResponse:
        """Let the node that the path names go. Raises ApiError."""
        check_sender(node_id, message.node_id)
        return accepted(self._registry.deregister(message))

    def remove(self, node_id: str) -> DeregisterResponse:
        """Forget a node that an operator says is gone; should it live, it registers again.

        Raises ApiError.
        """
        return DeregisterResponse(success=self._registry.remove(self.find(node_id).node_id))

    def pool_ready(self, message: PoolReadyCallback) -> PoolReadyResponse:
        """Take what a node says of one pool. Raises ApiError."""
        return accepted(self._registry.pool_ready(message))

    def nodes(self) -> NodeList:
        """Return how every node stands."""
        return NodeList(
            nodes=tuple(self._standing(node) for node in self._registry.nodes()),
            safe_mode=self._registry.health().safe_mode,
        )

    async def drain(self, node_id: str, deadline_ms: int) -> NodeStanding:
        """Drain every pool of a node; nothing new goes there from the first moment on.

        Raises ApiError; a node that does not answer stays marked, and can be asked again.
        """
        node = self.find(node_id)
        self._registry.set_draining(node_id, True)
        await self._pools.drain_all(node, deadline_ms)
        return self._standing(self.find(node_id))

    async def resume(self, node_id: str) -> NodeStanding:
        """End the drain of a node and of all its pools. Raises ApiError."""
        node = self.find(node_id)
        await self._pools.resume_all(node)
        self._registry.set_draining(node_id, False)
        await self._pools.placement_knows()
        return self._standing(self.find(node_id))

    def availability(self) -> Availability:
        """Return where each model is."""
        return self._directory.availability()

    def find(self, node_id: str) -> NodeLease:
        """Return a node. Raises ApiError."""
        node = self._registry.get(node_id)
        if node is None:
            known = tuple(each.node_id for each in self._registry.nodes())
            raise ApiError(
                ErrorCode.NODE_UNKNOWN,
                f"no node {node_id} is known",
                hint="GET /v2/nodes lists the nodes",
                candidates=known[:16] or None,
            )
        return node

    def _standing(self, node: NodeLease) -> NodeStanding:
        return NodeStanding(
            **dict(node.info()),
            silent_ms=max(0, self._now_ms() - node.heard_ms),
            placeable=node.placeable,
            reachable=node.reachable,
            suspected=node.state is LeaseState.SUSPECTED,
        )


def check_address(message: RegisterRequest, *, plaintext: bool) -> None:
    """Refuse a node to which the token and prompts would travel in the open. Raises ApiError."""
    if not plaintext and not message.address.startswith("https://"):
        raise ApiError(
            ErrorCode.INVALID_PARAMS,
            f"address: node {message.node_id} must be reached by https, not {message.address}",
            hint="configure its certificate, or set LLORCH_INSECURE_PLAINTEXT=true on both sides",
        )
