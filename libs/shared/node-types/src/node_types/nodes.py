"""What a GPU machine is and what it offers."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from node_types.base import Identifier, ServiceModel

NodeId = Identifier
Labels = dict[
    Annotated[str, StringConstraints(min_length=1, max_length=63)],
    Annotated[str, StringConstraints(max_length=255)],
]
ComputeCapability = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$")]
ByteCount = Annotated[int, Field(ge=0)]


class NodeStatus(StrEnum):
    """Where a node stands in the eyes of the control plane."""

    REGISTERING = "registering"
    ONLINE = "online"
    DRAINING = "draining"
    OFFLINE = "offline"


class GpuInfo(ServiceModel):
    """One GPU as the driver names it."""

    device_id: Annotated[int, Field(ge=0)]
    uuid: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    vram_total_bytes: ByteCount
    compute_capability: ComputeCapability | None = None


class NodeCapabilities(ServiceModel):
    """The hardware of a node."""

    gpus: tuple[GpuInfo, ...] = ()
    cpu_cores: Annotated[int, Field(ge=1)]
    ram_total_bytes: ByteCount


class NodeInfo(ServiceModel):
    """A node as the control plane lists it."""

    node_id: NodeId
    machine_id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    address: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    status: NodeStatus
    pools: tuple[Identifier, ...] = ()
    capabilities: NodeCapabilities
    version: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    labels: Labels = Field(default_factory=dict)
