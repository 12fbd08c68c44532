"""The one decision: which replica takes this task.

Order: feasible, then fewest estimated seconds if a scorer is given, then the least loaded, the
one with the most free VRAM, the lowest key. Preferences choose first, but only among replicas
with a free slot: no task waits for a better place.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import chain, islice
from typing import NamedTuple

from orchestrator_core.constraint import ANYWHERE, Constraint, Preferences
from orchestrator_core.errors import StaleDecision
from orchestrator_core.explanation import Candidate, Explanation
from orchestrator_core.feasibility import standing_refusal
from orchestrator_core.replica_index import ReplicaIndex
from orchestrator_core.replicas import ReplicaKey, ReplicaView
from orchestrator_core.scoring import Estimate, Scorer

_LOOKED_AT = 128
"""So many replicas are looked at for an explanation with a limit; a cluster may have thousands."""

_SCORED = 16
"""So many replicas at most are scored beside the nominated ones: a decision costs the same in any
cluster."""
_NO_ESTIMATES: Mapping[ReplicaKey, Estimate] = {}


class PlacementInput(NamedTuple):
    """All that a decision depends on."""

    constraint: Constraint
    replicas: ReplicaIndex
    preferences: Preferences = ANYWHERE
    tried: frozenset[ReplicaKey] = frozenset()
    """Replicas to pass over this once."""
    scorer: Scorer | None = None


class Outcome(StrEnum):
    """How a decision ended; the label of the metric."""

    PLACED = "placed"
    BUSY = "busy"
    """Replicas would fit, each has all its slots taken."""
    INFEASIBLE = "infeasible"
    """No replica that takes tasks now fits."""


class PlacementDecision(NamedTuple):
    """The chosen replica or none, and on demand the reason of every refusal."""

    outcome: Outcome
    chosen: ReplicaView | None
    input: PlacementInput
    version: int
    """The version of the index it was made from."""
    estimates: Mapping[ReplicaKey, Estimate] = _NO_ESTIMATES
    """Of the replicas that were scored."""

    def explain(self, limit: int | None = None) -> Explanation:
        """Keep what there is to tell of it: the chosen replica, and why the others were not.

        Not paid for by `decide`; so ask before the index changes (before reserving), afterwards
        it raises StaleDecision. Replicas of other models are left out while there is one that
        has the model. With a limit, no more than 128 are looked at, or as many.
        """
        index, constraint = self.input.replicas, self.input.constraint
        if index.version != self.version:
            raise StaleDecision(f"decided at version {self.version}, now {index.version}")
        most = _LOOKED_AT if limit is not None and limit < _LOOKED_AT else limit
        chosen = None if self.chosen is None else self.chosen.key
        return Explanation(
            index.moment(constraint.model_id, most, chosen, self.estimates),
            chosen=chosen,
            constraint=constraint,
            tried=self.input.tried,
            estimates=self.estimates,
            limit=limit,
        )

    def candidates(self, limit: int | None = None) -> tuple[Candidate, ...]:
        """Explain now."""
        return tuple(self.explain(limit))


def decide(input_: PlacementInput) -> PlacementDecision:
    """Choose a replica for a task, or none; reads, reserves nothing."""
    estimates = _NO_ESTIMATES
    chosen: ReplicaView | None = None
    wish, constraint = input_.preferences, input_.constraint
    if input_.scorer is not None or (wish is not ANYWHERE and wish.any):
        scored: dict[ReplicaKey, Estimate] = {}
        chosen, estimates = _preferred(input_, scored), scored
    fits = chosen is not None
    if chosen is None:
        if constraint.only_pools:
            first = next(_feasible(input_), None)
        else:
            first = input_.replicas.first(constraint, input_.tried)
        # Either it has a free slot, or it is full and so are all that follow.
        if first is not None:
            fits = True
            view, active = first
            chosen = view if active < view.slots_total else None
    outcome = Outcome.PLACED if chosen else Outcome.BUSY if fits else Outcome.INFEASIBLE
    return PlacementDecision(outcome, chosen, input_, input_.replicas.version, estimates)


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


def _preferred(input_: PlacementInput, estimates: dict[ReplicaKey, Estimate]) -> ReplicaView | None:
    """Choose by preferences and score among the replicas with a free slot."""
    index, wish = input_.replicas, input_.preferences
    affinity = wish.affinity
    if affinity is not None and _can_start(input_, affinity):
        return index.get(affinity)
    for pool in wish.pools:
        free = [view for view in index.of_pool(pool) if _can_start(input_, view.key)]
        if free:
            return _soonest(input_, free, estimates)
    if wish.labels or wish.spread_by:
        matching = _best_matching(input_)
        if input_.scorer is not None:
            first = set(input_.scorer.nominated)
            matching.sort(key=lambda view: view.key not in first)
        return _soonest(input_, matching, estimates)
    if input_.scorer is None:
        return None
    nominated = [key for key in input_.scorer.nominated if _can_start(input_, key)]
    known = (view for view in map(index.get, nominated) if view is not None)
    least_loaded = islice(_free(input_), _SCORED)
    return _soonest(input_, chain(known, least_loaded), estimates)


def _soonest(
    input_: PlacementInput, views: Iterable[ReplicaView], estimates: dict[ReplicaKey, Estimate]
) -> ReplicaView | None:
    """Choose the replica on which the task would be done first, and of equal ones by rank."""
    index, scorer = input_.replicas, input_.scorer
    if scorer is None:
        return min(views, key=lambda view: index.rank(view.key), default=None)
    best: ReplicaView | None = None
    least_s = 0.0
    for view in islice(views, _SCORED + len(scorer.nominated)):
        key = view.key
        if key in estimates:
            continue
        estimate = estimates[key] = scorer(view, index.active(key))
        total_s = estimate.total_s
        if (
            best is None
            or total_s < least_s
            or (total_s == least_s and index.rank(key) < index.rank(best.key))
        ):
            best, least_s = view, total_s
    return best


def _best_matching(input_: PlacementInput) -> list[ReplicaView]:
    """Give the free replicas that fulfil most of the wishes, in the policy's order."""
    wish = input_.preferences
    tasks_under = _tasks_by_label(input_) if wish.spread_by else Counter[str | None]()
    best: list[ReplicaView] = []
    least: tuple[int, int] | None = None
    for view in _free(input_):
        matches = sum(view.labels.get(name) == value for name, value in wish.labels.items())
        spread = tasks_under[view.labels.get(wish.spread_by)] if wish.spread_by else 0
        cost = (-matches, spread)
        if least is None or cost < least:
            best, least = [view], cost
        elif cost == least:
            best.append(view)
        if matches == len(wish.labels) and not wish.spread_by and not input_.scorer:
            break
    return best


def _free(input_: PlacementInput) -> Iterator[ReplicaView]:
    """Give the replicas that fit and have a free slot, in the policy's order."""
    for view, active in _feasible(input_):
        if active >= view.slots_total:
            return
        yield view


def _can_start(input_: PlacementInput, key: ReplicaKey) -> bool:
    return key not in input_.tried and input_.replicas.can_start(input_.constraint, key)


def _tasks_by_label(input_: PlacementInput) -> Counter[str | None]:
    """Count the running tasks of the model under each value of the label to spread by."""
    name = input_.preferences.spread_by
    assert name is not None
    counts: Counter[str | None] = Counter()
    for view in input_.replicas.of_model(input_.constraint.model_id):
        counts[view.labels.get(name)] += input_.replicas.active(view.key)
    return counts
