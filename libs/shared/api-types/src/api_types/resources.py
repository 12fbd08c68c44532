"""Sessions, artifacts, pools, models and capabilities as clients see them."""

from collections.abc import Iterable
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api_types.fields import WHOLE, FiniteJson, ModelRefText, PoolName, SessionId
from pool_registry_types import (
    ByteCount,
    ClientModel,
    Count,
    GpuInfo,
    ModelReport,
    NodeId,
    NodeInfo,
    PoolSnapshot,
    ServiceModel,
)

Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]


class SessionBudgets(ServiceModel):
    """What a session may still spend; None: no limit."""

    tokens_remaining: int | None = None
    time_remaining_ms: int | None = None
    cost_remaining: float | None = None


class SessionView(ServiceModel):
    """`GET /v2/sessions/{id}`."""

    session_id: SessionId
    ttl_ms_remaining: int
    turns: int
    kv_bytes: int
    kv_warmth: float
    budgets: SessionBudgets = Field(default_factory=SessionBudgets)
    tokens_in: int = 0
    tokens_out: int = 0


class ArtifactRequest(ClientModel):
    """`POST /v2/artifacts`."""

    content: FiniteJson
    tags: Annotated[tuple[Tag, ...], Field(max_length=16)] = ()


class ArtifactQuery(ClientModel):
    """The query of `GET /v2/artifacts`."""

    tag: Tag | None = None


class ArtifactCreated(ServiceModel):
    """The id under which the content is found from now on."""

    id: str
    created: bool
    """False: the same content was there already."""


class ArtifactView(ServiceModel):
    """`GET /v2/artifacts/{id}`."""

    id: str
    tags: tuple[str, ...] = ()
    created_ms: int
    size_bytes: int
    content: Any = None


class ArtifactList(ServiceModel):
    """`GET /v2/artifacts?tag=`: without contents."""

    artifacts: tuple[ArtifactView, ...] = ()


class PoolMetrics(ServiceModel):
    """The numbers of a pool's health."""

    slots_total: int
    slots_free: int
    active_leases: int
    vram_total_bytes: int
    vram_free_bytes: int
    queue_depth: int


class PoolHealth(ServiceModel):
    """`GET /v2/pools/{id}/health`."""

    pool_id: str
    node_id: str
    live: bool
    ready: bool
    draining: bool
    state: str
    engine: str
    engine_version: str | None = None
    model_id: str | None = None
    device_policy: str
    last_error: str | None = None
    metrics: PoolMetrics


class PoolView(PoolSnapshot):
    """A pool as clients see it: where there are many nodes, its id is `node_id:pool_id`."""

    pool_id: PoolName
    node_id: NodeId | None = None

    @classmethod
    def of(cls, pool: PoolSnapshot, *, name: str | None = None, node_id: str | None = None) -> Self:
        """Return the view of a pool, under its own id or another name."""
        return cls(**{**dict(pool), "pool_id": name or pool.pool_id, "node_id": node_id})


class PoolList(ServiceModel):
    """`GET /v2/pools`."""

    pools: tuple[PoolView, ...] = ()

    @classmethod
    def of(cls, pools: Iterable[PoolSnapshot]) -> Self:
        """Return the list of pools that have their ids from one node."""
        return cls(pools=tuple(PoolView.of(pool) for pool in pools))


class DrainRequest(ClientModel):
    """`POST /v2/pools/{id}/drain`."""

    deadline_ms: Annotated[int, Field(ge=0, le=86_400_000), WHOLE] = 60_000


class ReloadRequest(ClientModel):
    """`POST /v2/pools/{id}/reload`."""

    new_model_ref: ModelRefText


class PurgeRequest(ClientModel):
    """`POST /v2/pools/{id}/purge`; at least one thing has to be named."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"const": True}}}
                for name in ("purge_engine", "purge_models", "delete_cache_dirs")
            ]
        }
    )

    purge_engine: bool = False
    """What was built, installed or fetched for its engines."""
    purge_models: bool = False
    """The models that it serves; files that were not fetched by us stay."""
    delete_cache_dirs: bool = False
    """What nobody needs to serve: copies of its models in RAM, logs of what was built."""
    drain_first: bool = False
    """Let running tasks end, as a reload does."""
    force: bool = False
    """End running tasks now."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.purge_engine or self.purge_models or self.delete_cache_dirs):
            raise ValueError("name what to purge: purge_engine, purge_models or delete_cache_dirs")
        return self


class EngineCapability(ServiceModel):
    """What one kind of engine here can do."""

    engine: str
    versions: tuple[str, ...]
    ctx_max: int
    slots: int
    workloads: tuple[str, ...]
    features: tuple[str, ...]
    batching: bool
    models: tuple[str, ...] = ()


class Limits(ServiceModel):
    """The limits that a client can run into."""

    max_body_bytes: int
    admission_capacity: int
    admission_policy: str
    queue_max_wait_ms: int
    event_log_max_bytes: int
    task_retention_ms: int
    session_ttl_ms: int
    session_max_turns: int


class Capabilities(ServiceModel):
    """`GET /v2/meta/capabilities`."""

    api_version: str
    profile: str
    device_policy: str
    engines: tuple[EngineCapability, ...] = ()
    features: tuple[str, ...] = ()
    limits: Limits


class VersionInfo(ServiceModel):
    """`GET /v2/meta/version`."""

    service: str
    version: str
    api_version: str
    python: str


class PoolReadiness(ServiceModel):
    """One pool in `GET /ready`."""

    pool_id: str
    ready: bool
    state: str
    last_error: str | None = None


class Readiness(ServiceModel):
    """`GET /ready`."""

    ready: bool
    pools: tuple[PoolReadiness, ...] = ()
    safe_mode: bool = False
    """Most nodes are silent at once: none is given up, and nothing is placed on them."""


class Liveness(ServiceModel):
    """`GET /health`."""

    status: str
    uptime_ms: int


class GpuView(GpuInfo):
    """A GPU and how it is doing; None: the driver does not tell."""

    vram_used_bytes: ByteCount | None = None
    utilization_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    last_error: str | None = None


class GpuList(ServiceModel):
    """`GET /v2/gpus`."""

    gpus: tuple[GpuView, ...] = ()
    device_policy: str
    reason: str | None = None
    """Why there are none, in plain words."""


class NodeView(NodeInfo):
    """`GET /v2/node`: all that a register message says, and the status."""

    incarnation: UUID
    seq: Count
    models: tuple[ModelReport, ...] = ()


class NodeQuery(ClientModel):
    """The query of what each node answers for itself."""

    node_id: NodeId | None = None


class NodeStanding(NodeInfo):
    """A node as the control plane knows it; times are by the control plane's own clock."""

    silent_ms: Count
    """Since it was last heard."""
    placeable: bool
    """New tasks may go there."""
    reachable: bool
    """The last call to it did not fail."""
    suspected: bool = False
    """Silent together with most others: our own network may be the cause."""


class NodeList(ServiceModel):
    """`GET /v2/nodes`."""

    nodes: tuple[NodeStanding, ...] = ()
    safe_mode: bool = False


class ModelAvailability(ServiceModel):
    """Where a model is."""

    model_id: str
    nodes: tuple[NodeId, ...]
    """Online, with the model on their disk or in an engine."""
    total_nodes: int
    total_capacity: int
    """Slots of the engines that serve it now."""


class Availability(ServiceModel):
    """`GET /v2/catalog/availability`."""

    models: tuple[ModelAvailability, ...] = ()
