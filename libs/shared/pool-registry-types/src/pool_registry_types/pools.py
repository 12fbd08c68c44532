"""Pools and replicas as their node reports them."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from node_types import ByteCount, Identifier, ServiceModel

Count = Annotated[int, Field(ge=0)]
ReplicaId = Identifier
PoolId = Identifier
ModelId = Identifier
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class HealthState(StrEnum):
    """The one word for how a pool or replica is."""

    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


class HealthStatus(ServiceModel):
    """Liveness and readiness, and the last thing that went wrong in plain words."""

    state: HealthState
    live: bool
    ready: bool
    draining: bool = False
    last_error: str | None = None


class ReplicaSnapshot(ServiceModel):
    """One engine process of a pool."""

    replica_id: ReplicaId
    health: HealthStatus
    slots_total: Count = 0
    slots_free: Count = 0
    active_leases: Count = 0
    engine_version: str | None = None
    model_id: ModelId | None = None
    model_digest: Digest | None = None
    ctx_max: Count | None = None
    """Tokens of context that one task may use (the engine's context divided by its slots)."""
    device_mask: str | None = None
    pid: Annotated[int, Field(ge=1)] | None = None
    restarts: Count = 0
    generation: Count = 0
    """Rises with every engine process of this replica: an adapter is bound to one of them."""
    prompt_cache: bool = True


class PoolMetadata(ServiceModel):
    """What a pool is, apart from how it is doing."""

    pool_id: PoolId
    engine: str
    model_ref: str | None = None
    devices: tuple[str, ...] = ()
    slots: Annotated[int, Field(ge=1)] = 1
    ctx: Annotated[int, Field(ge=1)] | None = None
    swap_models: bool = False


PROVISIONING = "provisioning"
"""The phase of a change in which something is made for the engine; it takes minutes."""


class ModelChange(ServiceModel):
    """A pool on its way to another model."""

    model_id: ModelId | None = None
    """Which one, as far as it is known; None: away from the present one."""
    phase: str
    """What is waited for, such as `draining` or `starting`."""
    detail: str | None = None
    """More of it in words, such as where the log of a build is."""
    bytes_total: ByteCount | None = None
    """The size of its files."""
    bytes_done: ByteCount | None = None
    """How much of them the engine has in memory, as far as that can be seen."""


class LoadFailure(ServiceModel):
    """A model that a pool could not load; it is not tried again for a while."""

    model_id: ModelId
    reason: str
    retry_ms: Count | None = None
    """In how many ms it would be tried again, as of the report."""


class PoolSnapshot(ServiceModel):
    """The status of a pool: `GET /v2/pools/{id}/status`."""

    pool_id: PoolId
    live: bool
    ready: bool
    draining: bool
    slots_total: Count
    slots_free: Count
    active_leases: Count
    vram_total_bytes: ByteCount
    vram_free_bytes: ByteCount
    engine: str
    engine_version: str | None = None
    model_id: ModelId | None = None
    device_mask: str | None = None
    last_error: str | None = None
    state: HealthState = HealthState.STOPPED
    replicas: tuple[ReplicaSnapshot, ...] = ()
    swap_models: bool = False
    loadable_models: tuple[ModelId, ...] = ()
    """What a swapping pool would load for a task that waits."""
    load_failures: tuple[LoadFailure, ...] = ()
    """What it would serve, had that not failed a moment ago."""
    change: ModelChange | None = None
    """The change of its model that is under way."""
