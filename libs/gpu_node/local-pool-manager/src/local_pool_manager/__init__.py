"""Pools and replicas of one machine: slots, leases, drain, supervision."""

from local_pool_manager.changeover import ChangeLimits
from local_pool_manager.config import (
    PoolConfig,
    ProvisioningConfig,
    ProvisioningMode,
    ProvisioningOwner,
)
from local_pool_manager.delegated import service_dir
from local_pool_manager.errors import (
    InsufficientVram,
    LeaseError,
    PoolBusy,
    PoolDraining,
    PoolError,
    PoolNotFound,
    PoolNotOurs,
    ReplicaBusy,
    ReplicaNotReady,
)
from local_pool_manager.gpu_course import GpuCourse
from local_pool_manager.leases import Lease, OnRevoked
from local_pool_manager.lock import RuntimeDirTaken, owning
from local_pool_manager.manager import LocalPoolManager
from local_pool_manager.pool_course import PoolCourse
from local_pool_manager.ports import (
    GpuObserver,
    Loadable,
    Look,
    ModelSource,
    PoolObserver,
    StageAhead,
)
from local_pool_manager.swap import Demand
from local_pool_manager.types import ChangeOutcome, ReplicaEndpoint

__all__ = [
    "ChangeLimits",
    "ChangeOutcome",
    "Demand",
    "GpuCourse",
    "GpuObserver",
    "InsufficientVram",
    "Lease",
    "LeaseError",
    "Loadable",
    "LocalPoolManager",
    "Look",
    "ModelSource",
    "OnRevoked",
    "PoolBusy",
    "PoolConfig",
    "PoolCourse",
    "PoolDraining",
    "PoolError",
    "PoolNotFound",
    "PoolNotOurs",
    "PoolObserver",
    "ProvisioningConfig",
    "ProvisioningMode",
    "ProvisioningOwner",
    "ReplicaBusy",
    "ReplicaEndpoint",
    "ReplicaNotReady",
    "RuntimeDirTaken",
    "StageAhead",
    "owning",
    "service_dir",
]
