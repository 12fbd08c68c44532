"""What a node says to the control plane, and what it is answered."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from node_types import Labels, NodeCapabilities, NodeId, ServiceModel
from pool_registry_types import Count, ModelId, ModelReport, PoolId, PoolSnapshot

PositiveMs = Annotated[int, Field(ge=1, le=86_400_000)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=2048)]


class NodeMessage(ServiceModel):
    """What every message of a node carries, on whatever channel it comes.

    `incarnation` is new with each start of the node's program, and `seq` rises with each message
    of that incarnation; what is older than the last pair that was heard is refused with
    STALE_INCARNATION.
    """

    node_id: NodeId
    incarnation: UUID
    seq: Count


class RegisterRequest(NodeMessage):
    """`POST /v2/nodes/register`, and the body that a polled node gives as `GET /v2/node`."""

    machine_id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    address: Url
    """Where the control plane reaches the node."""
    pools: tuple[PoolId, ...] = ()
    models: tuple[ModelReport, ...] = ()
    capabilities: NodeCapabilities
    version: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    labels: Labels = Field(default_factory=dict)


class RegisterResponse(ServiceModel):
    """The node is known from now on, and is to be heard this often."""

    success: bool
    message: str
    node_id: NodeId
    heartbeat_interval_ms: PositiveMs


class HeartbeatRequest(NodeMessage):
    """`POST /v2/nodes/{node_id}/heartbeat`: all that may have changed."""

    timestamp: Count
    """Unix time in milliseconds by the node's clock: to be shown, never to be compared."""
    pools: tuple[PoolSnapshot, ...] = ()
    models: tuple[ModelReport, ...] = ()
    labels: Labels = Field(default_factory=dict)


class HeartbeatResponse(ServiceModel):
    """When the control plane wants to hear the node again."""

    success: bool
    next_heartbeat_ms: PositiveMs


class DeregisterRequest(NodeMessage):
    """`DELETE /v2/nodes/{node_id}`: the node leaves by its own will."""

    reason: Annotated[str, StringConstraints(max_length=255)] | None = None


class DeregisterResponse(ServiceModel):
    """False: no such node was known, which is as good."""

    success: bool


class PoolReadyCallback(NodeMessage):
    """`POST /v2/callbacks/pool-ready`: says at once what the next heartbeat would say."""

    pool: PoolSnapshot


class PoolReadyResponse(ServiceModel):
    """The callback was taken, or told nothing new."""

    success: bool


class CallbackRegistration(ServiceModel):
    """`POST /v2/callbacks/register` on the node: where it is to send its callbacks."""

    url: Url


class ModelDemand(ServiceModel):
    """The tasks that wait for one model."""

    model_id: ModelId
    waiting: Annotated[int, Field(ge=1)]
    oldest_ms: Count
    """How long the oldest of them has waited."""


class PoolDemand(ServiceModel):
    """`POST /v2/pools/{pool_id}/demand` on the node: what a swapping pool is asked for.

    It takes the place of what the same control plane told before. Several add up; `seq` rises
    with each message of a `source`, and an older one changes nothing.
    """

    source: UUID
    """The process that tells."""
    seq: Count
    valid_ms: PositiveMs
    """Not told again within this time, it is forgotten: the control plane may have died."""
    max_wait_ms: PositiveMs
    """A task that has waited so long ends the turn of the model that is loaded."""
    models: tuple[ModelDemand, ...] = ()


class PoolDemandResponse(ServiceModel):
    """False: a newer message of the same source has come before."""

    success: bool
