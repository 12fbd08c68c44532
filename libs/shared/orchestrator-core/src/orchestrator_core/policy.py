"""The one decision: which replica takes this task.

Order: feasible, then fewest estimated seconds if a scorer is given, then the least loaded, the
one with the most free VRAM, the lowest key. Preferences choose first, but only among replicas
with a free slot: no task waits for a better place.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import nsmallest
from itertools import islice

from orchestrator_core.constraint import NO_PREFERENCES, Constraint, Preferences
from orchestrator_core.errors import StaleDecision
from orchestrator_core.feasibility import Refusal, passing_refusal, standing_refusal
from orchestrator_core.replica_index import Rank, ReplicaIndex
from orchestrator_core.replicas import ReplicaKey, ReplicaView

_LOOKED_AT = 128
"""So many replicas are looked at for an explanation with a limit; a cluster may have thousands."""

Scorer = Callable[[ReplicaView, int], float]
"""Estimated seconds until the task would be done on a replica that runs so many tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementInput:
    """All that a decision depends on."""

    constraint: Constraint
    replicas: ReplicaIndex
    preferences: Preferences = NO_PREFERENCES
    tried: frozenset[ReplicaKey] = frozenset()
    """Replicas to pass over this once; `Constraint.excluded` holds those of a retry."""
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
        """Explain: the chosen replica first, then why the others were not, nearest miss first.

        Not paid for by `decide`; so ask before the index changes (before reserving), afterwards
        it raises StaleDecision. Replicas of other models are left out while there is one that
        has the model. With a limit, no more than 128 are looked at, or as many.
        """
        index, constraint = self.input.replicas, self.input.constraint
        if index.version != self.version:
            raise StaleDecision(f"decided at version {self.version}, now {index.version}")
        most = None if limit is None else max(_LOOKED_AT, limit)
        views = list(islice(index.of_model(constraint.model_id), most))
        views = views or list(islice(index, most))
        if self.chosen is not None and self.chosen not in views:
            views.append(self.chosen)
        named = [Candidate(view.key, self._refusal(view)) for view in views]
        return tuple(
            nsmallest(
                len(named) if limit is None else limit,
                named,
                key=lambda c: (c.refused is not None, -_HOPE.get(c.refused, 0), index.rank(c.key)),
            )
        )

    def _refusal(self, view: ReplicaView) -> Refusal | None:
        if self.chosen is not None and view.key == self.chosen.key:
            return None
        standing = standing_refusal(self.input.constraint, view)
        if standing is None and view.key in self.input.tried:
            standing = Refusal.ALREADY_TRIED
        free = self.input.replicas.slots_free(view.key)
        return standing or passing_refusal(view) or (Refusal.NOT_FIRST if free else Refusal.NO_SLOT)


_HOPE: dict[Refusal | None, int] = {refusal: hope for hope, refusal in enumerate(Refusal)}


def decide(input_: PlacementInput) -> PlacementDecision:
    """Choose a replica for a task, or none; reads, reserves nothing."""
    chosen = _preferred(input_) if input_.preferences.any or input_.scorer else None
    fits = chosen is not None
    if chosen is None:
        for view, active in _feasible(input_):
            fits = True
            if active < view.slots_total:
                chosen = view
            # Either it has a free slot, or it is full and so are all that follow.
            break
    outcome = Outcome.PLACED if chosen else Outcome.BUSY if fits else Outcome.INFEASIBLE
    return PlacementDecision(outcome, chosen, input_, input_.replicas.version)


def _feasible(input_: PlacementInput) -> Iterator[tuple[ReplicaView, int]]:
    """Give the replicas that fit, free or full, in the policy's order."""
    constraint, tried, index = input_.constraint, input_.tried, input_.replicas
    if constraint.only_pools:
        pinned = [
            view
            for pool in constraint.only_pools
            for view in index.of_pool(pool)
            if view.takes_tasks
        ]
        pinned.sort(key=lambda view: index.rank(view.key))
        ordered: Iterator[tuple[ReplicaView, int]] = (
            (view, index.active(view.key)) for view in pinned
        )
    else:
        ordered = index.in_order(constraint.model_id)
    for view, active in ordered:
        if view.key not in tried and standing_refusal(constraint, view) is None:
            yield view, active


def _preferred(input_: PlacementInput) -> ReplicaView | None:
    """Choose by preferences and score among the replicas with a free slot."""
    index, wish = input_.replicas, input_.preferences
    affinity = wish.affinity
    if affinity is not None and _can_start(input_, affinity):
        return index.get(affinity)
    for pool in wish.pools:
        free = [view for view in index.of_pool(pool) if _can_start(input_, view.key)]
        if free:
            return min(free, key=lambda view: _cost(input_, view))
    if not (wish.labels or wish.spread_by or input_.scorer):
        return None
    tasks_under = _tasks_by_label(input_) if wish.spread_by else Counter[str | None]()
    best: tuple[tuple[int, int, float], ReplicaView] | None = None
    for view, active in _feasible(input_):
        if active >= view.slots_total:
            break
        matches = sum(view.labels.get(name) == value for name, value in wish.labels.items())
        spread = tasks_under[view.labels.get(wish.spread_by)] if wish.spread_by else 0
        score = input_.scorer(view, active) if input_.scorer else 0.0
        cost = (-matches, spread, score)
        if best is None or cost < best[0]:
            best = (cost, view)
        if matches == len(wish.labels) and not wish.spread_by and not input_.scorer:
            break
    return best[1] if best else None


def _can_start(input_: PlacementInput, key: ReplicaKey) -> bool:
    return key not in input_.tried and input_.replicas.can_start(input_.constraint, key)


def _cost(input_: PlacementInput, view: ReplicaView) -> tuple[float, Rank]:
    index = input_.replicas
    score = input_.scorer(view, index.active(view.key)) if input_.scorer else 0.0
    return (score, index.rank(view.key))


def _tasks_by_label(input_: PlacementInput) -> Counter[str | None]:
    """Count the running tasks of the model under each value of the label to spread by."""
    name = input_.preferences.spread_by
    assert name is not None
    counts: Counter[str | None] = Counter()
    for view in input_.replicas.of_model(input_.constraint.model_id):
        counts[view.labels.get(name)] += input_.replicas.active(view.key)
    return counts
