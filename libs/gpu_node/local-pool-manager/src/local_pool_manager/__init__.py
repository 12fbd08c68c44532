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
from local_pool_manager.leases import Lease, OnRevoked
from local_pool_manager.lock import RuntimeDirTaken, owning
from local_pool_manager.manager import LocalPoolManager
from local_pool_manager.ports import ModelSource
from local_pool_manager.types import ReplicaEndpoint

__all__ = [
    "Lease",
    "LeaseError",
    "LocalPoolManager",
    "ModelSource",
    "OnRevoked",
    "PoolConfig",
    "PoolDraining",
    "PoolError",
    "PoolNotFound",
    "ProvisioningConfig",
    "ProvisioningMode",
    "ReplicaBusy",
    "ReplicaEndpoint",
    "ReplicaNotReady",
    "RuntimeDirTaken",
    "owning",
]
