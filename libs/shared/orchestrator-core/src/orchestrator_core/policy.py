"""The one decision: which replica takes this task.

Order: feasible, then fewest estimated seconds if a scorer is given, then the least loaded, the
one with the most free VRAM, the lowest key. Preferences choose first, but only among replicas
with a free slot: no task waits for a better place.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import chain, islice, takewhile
from typing import NamedTuple

from orchestrator_core.constraint import ANYWHERE, Constraint, Preferences
from orchestrator_core.errors import StaleDecision
from orchestrator_core.explanation import Candidate, Explanation
from orchestrator_core.replica_index import Loaded, Rank, ReplicaIndex, rank_of
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
    wish = input_.preferences
    if input_.scorer is not None or (wish is not ANYWHERE and wish.any):
        scored: dict[ReplicaKey, Estimate] = {}
        chosen, estimates = _preferred(input_, scored), scored
    fits = chosen is not None
    if chosen is None:
        first = next(input_.replicas.able(input_.constraint, input_.tried), None)
        # Either it has a free slot, or it is full and so are all that follow.
        if first is not None:
            fits = True
            view, active = first
            chosen = view if active < view.slots_total else None
    outcome = Outcome.PLACED if chosen else Outcome.BUSY if fits else Outcome.INFEASIBLE
    return PlacementDecision(outcome, chosen, input_, input_.replicas.version, estimates)


def _preferred(input_: PlacementInput, estimates: dict[ReplicaKey, Estimate]) -> ReplicaView | None:
    """Choose by preferences and score among the replicas with a free slot."""
    index, wish, scorer = input_.replicas, input_.preferences, input_.scorer
    if wish.affinity is not None:
        for view, _ in _startable(input_, [wish.affinity]):
            return view
    for pool in wish.pools:
        free = _startable(input_, [view.key for view in index.of_pool(pool)])
        if free:
            return _soonest(input_, free, estimates)
    if wish.labels or wish.spread_by:
        matching = _best_matching(input_)
        if scorer is not None:
            first = set(scorer.nominated)
            matching.sort(key=lambda loaded: loaded[0].key not in first)
        return _soonest(input_, matching, estimates)
    if scorer is None:
        return None
    nominated = _startable(input_, scorer.nominated)
    return _soonest(input_, chain(nominated, islice(_free(input_), _SCORED)), estimates)


def _soonest(
    input_: PlacementInput, loaded: Iterable[Loaded], estimates: dict[ReplicaKey, Estimate]
) -> ReplicaView | None:
    """Choose the replica on which the task would be done first, and of equal ones by rank."""
    scorer = input_.scorer
    best: ReplicaView | None = None
    best_rank: Rank | None = None
    least_s = 0.0
    most = None if scorer is None else _SCORED + len(scorer.nominated)
    for view, active in islice(loaded, most):
        total_s = 0.0
        if scorer is not None:
            if view.key in estimates:
                continue
            estimate = estimates[view.key] = scorer(view, active)
            total_s = estimate.total_s
        if best is None or total_s < least_s:
            best, best_rank, least_s = view, rank_of(view, active), total_s
        elif total_s == least_s and best_rank is not None:
            rank = rank_of(view, active)
            if rank < best_rank:
                best, best_rank = view, rank
    return best


def _best_matching(input_: PlacementInput) -> list[Loaded]:
    """Give the free replicas that fulfil most of the wishes, in the policy's order."""
    wish = input_.preferences
    tasks_under = _tasks_by_label(input_) if wish.spread_by else Counter[str | None]()
    best: list[Loaded] = []
    least: tuple[int, int] | None = None
    for view, active in _free(input_):
        matches = sum(view.labels.get(name) == value for name, value in wish.labels.items())
        spread = tasks_under[view.labels.get(wish.spread_by)] if wish.spread_by else 0
        cost = (-matches, spread)
        if least is None or cost < least:
            best, least = [(view, active)], cost
        elif cost == least:
            best.append((view, active))
        if matches == len(wish.labels) and not wish.spread_by and not input_.scorer:
            break
    return best


def _free(input_: PlacementInput) -> Iterator[Loaded]:
    """Give the replicas that fit and have a free slot, in the policy's order."""
    able = input_.replicas.able(input_.constraint, input_.tried)
    # After the first one that is full all others are.
    return takewhile(lambda loaded: loaded[1] < loaded[0].slots_total, able)


def _startable(input_: PlacementInput, keys: Iterable[ReplicaKey]) -> list[Loaded]:
    """Give those of some replicas on which the task could start at once."""
    found = (input_.replicas.startable(input_.constraint, key) for key in keys)
    return [each for each in found if each is not None and each[0].key not in input_.tried]


def _tasks_by_label(input_: PlacementInput) -> Counter[str | None]:
    """Count the running tasks of the model under each value of the label to spread by."""
    name = input_.preferences.spread_by
    assert name is not None
    counts: Counter[str | None] = Counter()
    for view in input_.replicas.of_model(input_.constraint.model_id):
        counts[view.labels.get(name)] += input_.replicas.active(view.key)
    return counts
