"""The one decision: which replica takes this task.

Order: feasible, then fewest estimated seconds if a scorer is given, then the least loaded, the
one with the most free VRAM, the lowest key. Preferences choose first, but only among replicas
with a free slot: no task waits for a better place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator_core.constraint import NO_PREFERENCES, Constraint, Preferences
from orchestrator_core.errors import StaleDecision
from orchestrator_core.feasibility import Refusal, passing_refusal, standing_refusal
from orchestrator_core.replica_index import Rank, ReplicaIndex, rank_of
from orchestrator_core.replicas import PoolRef, ReplicaKey, ReplicaView

Scorer = Callable[[ReplicaView, int], float]
"""Estimated seconds until the task would be done on a replica that runs so many tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementInput:
    """All that a decision depends on."""

    constraint: Constraint
    replicas: ReplicaIndex
    preferences: Preferences = NO_PREFERENCES
    tried: frozenset[ReplicaKey] = frozenset()
    """Replicas on which this task has failed already."""
    scorer: Scorer | None = None


class Outcome(StrEnum):
    """How a decision ended; the label of the metric."""

    PLACED = "placed"
    BUSY = "busy"
    """Replicas would fit, each has all its slots taken."""
    INFEASIBLE = "infeasible"
    """No replica that takes tasks now fits."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica that was looked at; `refused` is None for the chosen one."""

    key: ReplicaKey
    refused: Refusal | None


@dataclass(frozen=True, slots=True)
class PlacementDecision:
    """The chosen replica or none, and on demand the reason of every refusal."""

    outcome: Outcome
    chosen: ReplicaView | None
    input: PlacementInput = field(repr=False)
    version: int
    """The version of the index it was made from."""

    def candidates(self, limit: int | None = None) -> tuple[Candidate, ...]:
        """Explain: the chosen replica first, then why the others were not.

        Not paid for by `decide`; so ask before the index changes (before reserving), afterwards
        it raises StaleDecision. Replicas of other models are left out while there is one that
        has the model.
        """
        raise NotImplementedError


def decide(input_: PlacementInput) -> PlacementDecision:
    """Choose a replica for a task, or none; reads, reserves nothing."""
    raise NotImplementedError
