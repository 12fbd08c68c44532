"""In how many seconds a task would be done here or there: what a scorer tells placement.

One unit, so that a warm cache, a busy engine and a slow machine can be weighed against each other.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from orchestrator_core.replicas import ReplicaKey, ReplicaView


class Estimate(NamedTuple):
    """Seconds until a task would be done on a replica, and what they are made of."""

    prefill_s: float
    """Reading what of the prompt does not lie in its cache."""
    drain_s: float
    """What it has to do before that."""
    decode_s: float

    @property
    def total_s(self) -> float:
        """All of it."""
        return self.prefill_s + self.drain_s + self.decode_s


class Scorer(Protocol):
    """Estimates for one task."""

    @property
    def nominated(self) -> Sequence[ReplicaKey]:
        """Replicas to look at besides the least loaded: where the task would be done soonest."""
        ...

    def __call__(self, view: ReplicaView, active: int) -> Estimate:
        """Estimate for a replica that runs so many tasks already."""
        ...
