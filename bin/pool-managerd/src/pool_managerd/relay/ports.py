"""What the relay needs from the owner of the pools."""

from collections.abc import Callable
from typing import Protocol

from local_pool_manager import Lease, ReplicaEndpoint


class Engines(Protocol):
    """Engines and the leases on their slots; `LocalPoolManager` is one."""

    def endpoint(self, pool_id: str, replica_id: str) -> ReplicaEndpoint:
        """Return where a ready engine is; raises PoolError."""
        ...

    def acquire(
        self,
        pool_id: str,
        replica_id: str,
        task_key: str,
        *,
        on_revoked: Callable[[str], None] | None = None,
    ) -> Lease:
        """Lease a slot; raises PoolError."""
        ...

    def release(self, lease: Lease) -> None:
        """Give a slot back."""
        ...
