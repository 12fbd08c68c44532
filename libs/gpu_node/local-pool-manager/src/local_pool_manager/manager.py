"""The pools of this machine as one service."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from gpu_discovery import DevicePolicy, GpuInventory
from local_pool_manager.config import PoolConfig
from local_pool_manager.leases import Lease
from local_pool_manager.ports import ModelSource
from local_pool_manager.types import ReplicaEndpoint
from pool_registry_types import PoolSnapshot


class LocalPoolManager:
    """Owns pools, replicas and leases of this machine; engines run under its supervisors."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        configs: Sequence[PoolConfig],
        *,
        runtime_dir: Path,
        models: ModelSource,
        gpus: Callable[[], GpuInventory],
        device_policy: DevicePolicy = DevicePolicy.GPU,
        keep_engines: bool = False,
        auto_delete_handoff: bool = False,
    ) -> AsyncIterator[Self]:
        """Serve the pools; on exit stop the engines that were started here, unless kept."""
        raise NotImplementedError
        yield

    def snapshots(self) -> tuple[PoolSnapshot, ...]:
        """Return how every pool is, in the order of the configuration."""
        raise NotImplementedError

    def snapshot(self, pool_id: str) -> PoolSnapshot:
        """Return how one pool is; raises `PoolNotFound`."""
        raise NotImplementedError

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the pool's id after each change; the result ends the subscription."""
        raise NotImplementedError

    def endpoint(self, pool_id: str, replica_id: str) -> ReplicaEndpoint:
        """Return where the ready replica is; raises `PoolNotFound` or `ReplicaNotReady`."""
        raise NotImplementedError

    def acquire(self, pool_id: str, replica_id: str, task_key: str) -> Lease:
        """Lease a slot; raises `PoolNotFound`, `PoolDraining`, `ReplicaNotReady`, `ReplicaBusy`."""
        raise NotImplementedError

    def release(self, lease: Lease) -> None:
        """Give the slot back; raises `LeaseError` when it was given back before."""
        raise NotImplementedError

    def drain(self, pool_id: str, deadline_ms: int) -> None:
        """Refuse new leases; at the deadline those that still run are revoked."""
        raise NotImplementedError

    def resume(self, pool_id: str) -> None:
        """End a drain."""
        raise NotImplementedError

    async def revoked(self, lease: Lease) -> str:
        """Return, once it is so, why the lease must end (a drain's deadline)."""
        raise NotImplementedError
