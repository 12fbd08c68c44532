"""Pools and replicas of one machine: slots, leases, drain, supervision."""

from local_pool_manager.config import PoolConfig, ProvisioningConfig, ProvisioningMode
from local_pool_manager.errors import (
    LeaseError,
    PoolDraining,
    PoolError,
    PoolNotFound,
    ReplicaBusy,
    ReplicaNotReady,
)
from local_pool_manager.leases import Lease
from local_pool_manager.manager import LocalPoolManager
from local_pool_manager.ports import GpuInventory, ModelSource, StagedModel
from local_pool_manager.types import DevicePolicy, ReplicaEndpoint

__all__ = [
    "DevicePolicy",
    "GpuInventory",
    "Lease",
    "LeaseError",
    "LocalPoolManager",
    "ModelSource",
    "PoolConfig",
    "PoolDraining",
    "PoolError",
    "PoolNotFound",
    "ProvisioningConfig",
    "ProvisioningMode",
    "ReplicaBusy",
    "ReplicaEndpoint",
    "ReplicaNotReady",
    "StagedModel",
]
