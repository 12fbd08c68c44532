"""What can be wrong with a wish to a pool; `code` is the wire name."""

from typing import ClassVar


class PoolError(Exception):
    """Base of this library's errors."""

    code: ClassVar[str] = "INTERNAL"
    retriable: ClassVar[bool] = False


class PoolNotFound(PoolError):
    """There is no pool or replica of that name on this machine."""

    code = "POOL_NOT_FOUND"


class PoolDraining(PoolError):
    """The pool takes no new work until it is resumed."""

    code = "POOL_DRAINING"
    retriable = True


class ReplicaNotReady(PoolError):
    """The replica has no engine that serves."""

    code = "POOL_UNREADY"
    retriable = True


class ReplicaBusy(PoolError):
    """Every slot of the replica is leased."""

    code = "REPLICA_BUSY"
    retriable = True


class PoolBusy(PoolError):
    """The pool's model is being changed already."""

    code = "POOL_BUSY"
    retriable = True


class PoolNotOurs(PoolError):
    """The engines of the pool are started by somebody else."""

    code = "INVALID_PARAMS"


class InsufficientVram(PoolError):
    """The engine does not fit on the devices; the text has the arithmetic."""

    code = "INSUFFICIENT_VRAM"
    retriable = True


class LeaseError(PoolError):
    """The caller broke the contract of leases: released one twice, or took two for one task."""
