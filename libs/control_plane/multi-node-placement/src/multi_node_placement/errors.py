"""What can go wrong when a caller names a pool or holds a decision too long."""

from orchestrator_core import PoolRef


class PlacementError(Exception):
    """Base of the errors of this library."""

    code = "INTERNAL"
    retriable = False


class AmbiguousPool(PlacementError):
    """A bare pool id that several nodes use; `candidates` are the names to choose from."""

    code = "AMBIGUOUS_POOL"

    def __init__(self, name: str, candidates: tuple[PoolRef, ...]) -> None:
        self.candidates = tuple(map(str, candidates))
        super().__init__(f"pool {name!r} exists on several nodes: {', '.join(self.candidates)}")


class UnknownPool(PlacementError):
    """No node reports a pool of this name."""

    code = "POOL_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no node has a pool {name!r}")


class NotPlaced(PlacementError):
    """A reservation was asked for where there is no free slot."""
