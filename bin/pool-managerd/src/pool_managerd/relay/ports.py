"""What the relay needs from the owner of the pools."""

from collections.abc import Callable, Mapping
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


class Standing(Protocol):
    """What a gate knows beyond the single request."""

    @property
    def standing(self) -> Callable[[], object]:
        """Returns the same object as long as the gate decides as it does."""
        ...

    def opens_to(self, headers: Mapping[str, str]) -> bool:
        """Whether it lets these headers in, whoever sends them."""
        ...
