"""Identity, status, capabilities and GPUs of a node."""

from node_types.base import ID_PATTERN, ClientModel, Identifier, Milliseconds, ServiceModel
from node_types.nodes import (
    ByteCount,
    GpuInfo,
    Labels,
    NodeCapabilities,
    NodeId,
    NodeInfo,
    NodeStatus,
)

__all__ = [
    "ID_PATTERN",
    "ByteCount",
    "ClientModel",
    "GpuInfo",
    "Identifier",
    "Labels",
    "Milliseconds",
    "NodeCapabilities",
    "NodeId",
    "NodeInfo",
    "NodeStatus",
    "ServiceModel",
]
