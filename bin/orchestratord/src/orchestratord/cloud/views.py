"""What clients are shown of many machines: by the reports, or by asking the one they name."""

from collections.abc import Callable, Mapping

from adapter_api import EngineDescription
from api_types import (
    ApiError,
    Capabilities,
    ErrorCode,
    GpuList,
    ModelView,
    NodeView,
    Readiness,
)
from orchestrator_core import ReplicaKey
from orchestratord.cloud.client import NodeClient
from orchestratord.cloud.nodes import ClusterNodes
from orchestratord.cloud.pools import ClusterPools
from orchestratord.config import Settings
from orchestratord.views import capabilities, pool_readiness
from service_discovery_types import RegisterRequest
from service_registry import ServiceRegistry


class ClusterModels:
    """The `Models` of CLOUD: each once, by the reports of the nodes."""

    def __init__(self, registry: ServiceRegistry) -> None:
        self._registry = registry

    async def models(self) -> tuple[ModelView, ...]:
        """Return all models."""
        known = self._known()
        return tuple(known[model_id] for model_id in sorted(known))

    def _known(self) -> dict[str, ModelView]:
        found: dict[str, ModelView] = {}
        for node in self._registry.nodes():
            for model in node.models:
                view = ModelView(
                    model_id=model.model_id,
                    reference=model.model_id,
                    state=model.state.value,
                    digest=model.digest,
                )
                before = found.setdefault(model.model_id, view)
                served_by = tuple(
                    f"{node.node_id}:{pool.pool_id}"
                    for pool in node.pools
                    if any(replica.model_id == model.model_id for replica in pool.replicas)
                )
                update = {"served_by": (*before.served_by, *served_by)}
                found[model.model_id] = before.model_copy(update=update)
        return found


class ClusterMachine:
    """The `Machine` of CLOUD: this process, and the machines that a caller names."""

    def __init__(
        self,
        settings: Settings,
        registry: ServiceRegistry,
        nodes: ClusterNodes,
        pools: ClusterPools,
        client: NodeClient,
        *,
        descriptions: Callable[[], Mapping[ReplicaKey, EngineDescription]],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._nodes = nodes
        self._pools = pools
        self._client = client
        self._descriptions = descriptions
        self._shutting_down = False

    def begin_shutdown(self) -> None:
        """Be not ready from now on."""
        self._shutting_down = True

    async def gpus(self, node_id: str | None = None) -> GpuList:
        """Return the GPUs of a node. Raises ApiError."""
        return await self._client.get(self._nodes.find(self._named(node_id)), "/v2/gpus", GpuList)

    async def node(self, node_id: str | None = None) -> NodeView:
        """Return what a node is and offers. Raises ApiError."""
        node = self._nodes.find(self._named(node_id))
        told = await self._client.get(node, "/v2/node", RegisterRequest)
        return NodeView(**dict(told), status=node.status)

    def capabilities(self) -> Capabilities:
        """Return engines, features and limits."""
        return capabilities(self._settings, self._pools.snapshots(), self._descriptions().values())

    def readiness(self) -> Readiness:
        """Be ready whatever the nodes are: they register through us."""
        return Readiness(
            ready=not self._shutting_down,
            pools=tuple(map(pool_readiness, self._pools.snapshots())),
            safe_mode=self._registry.health().safe_mode,
        )

    def _named(self, node_id: str | None) -> str:
        if node_id is None:
            known = tuple(node.node_id for node in self._registry.nodes())
            raise ApiError(
                ErrorCode.INVALID_PARAMS,
                "node_id: this machine has no GPUs of its own; name a node",
                hint="GET /v2/nodes lists the nodes",
                candidates=known[:16] or None,
            )
        return node_id
