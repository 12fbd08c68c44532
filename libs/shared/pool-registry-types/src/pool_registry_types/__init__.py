"""Health, snapshots and metadata of pools and replicas, and the handoff file.

The node types are re-exported, so that one import serves both services.
"""

from node_types import (
    ID_PATTERN,
    ByteCount,
    ClientModel,
    GpuInfo,
    Identifier,
    Labels,
    Milliseconds,
    NodeCapabilities,
    NodeId,
    NodeInfo,
    NodeStatus,
    ServiceModel,
)
from pool_registry_types.handoff import (
    HANDOFF_SCHEMA,
    DesiredModel,
    HandoffModel,
    HandoffPayload,
)
from pool_registry_types.models import ModelReport, ModelState
from pool_registry_types.pools import (
    PROVISIONING,
    Count,
    Digest,
    HealthState,
    HealthStatus,
    LoadFailure,
    ModelChange,
    ModelId,
    PoolId,
    PoolMetadata,
    PoolSnapshot,
    ReplicaId,
    ReplicaSnapshot,
)

__all__ = [
    "HANDOFF_SCHEMA",
    "ID_PATTERN",
    "PROVISIONING",
    "ByteCount",
    "ClientModel",
    "Count",
    "DesiredModel",
    "Digest",
    "GpuInfo",
    "HandoffModel",
    "HandoffPayload",
    "HealthState",
    "HealthStatus",
    "Identifier",
    "Labels",
    "LoadFailure",
    "Milliseconds",
    "ModelChange",
    "ModelId",
    "ModelReport",
    "ModelState",
    "NodeCapabilities",
    "NodeId",
    "NodeInfo",
    "NodeStatus",
    "PoolId",
    "PoolMetadata",
    "PoolSnapshot",
    "ReplicaId",
    "ReplicaSnapshot",
    "ServiceModel",
]
