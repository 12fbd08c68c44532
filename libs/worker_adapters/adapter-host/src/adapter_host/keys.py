"""How a replica is named."""

from typing import NamedTuple


class ReplicaKey(NamedTuple):
    """A pool, which may be the cluster-wide `node:pool`, and a replica of it."""

    pool_id: str
    replica_id: str

    def __str__(self) -> str:
        return f"{self.pool_id}/{self.replica_id}"
