"""Why a task went where it went: kept as it was at that moment, put into words when asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import overload

from orchestrator_core.constraint import Constraint
from orchestrator_core.feasibility import Refusal, passing_refusal, standing_refusal
from orchestrator_core.replica_index import Moment, rank_of
from orchestrator_core.replicas import ReplicaKey, ReplicaView
from orchestrator_core.scoring import Estimate


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica that was looked at; `refused` is None for the chosen one."""

    key: ReplicaKey
    refused: Refusal | None
    estimate: Estimate | None = None
    """If a scorer had to say something of it."""


_HOPE: dict[Refusal | None, int] = {refusal: hope for hope, refusal in enumerate(Refusal)}


class Explanation(Sequence[Candidate]):
    """The chosen replica first, then why the others were not, nearest miss first.

    Most are never read: until then it is what the decision saw, which is cheap to keep.
    """

    __slots__ = ("_candidates", "_chosen", "_constraint", "_estimates", "_limit", "_seen", "_tried")

    def __init__(
        self,
        seen: Moment,
        *,
        chosen: ReplicaKey | None,
        constraint: Constraint,
        tried: frozenset[ReplicaKey],
        estimates: Mapping[ReplicaKey, Estimate],
        limit: int | None,
    ) -> None:
        self._seen: Moment | None = seen
        self._chosen = chosen
        self._constraint = constraint
        self._tried = tried
        self._estimates = estimates
        self._limit = limit
        self._candidates: tuple[Candidate, ...] = ()

    def __len__(self) -> int:
        if self._seen is None:
            return len(self._candidates)
        seen = len(self._seen.views)
        return seen if self._limit is None or seen < self._limit else self._limit

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._told())

    @overload
    def __getitem__(self, at: int) -> Candidate: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Candidate, ...]: ...
    def __getitem__(self, at: int | slice) -> Candidate | tuple[Candidate, ...]:
        return self._told()[at]

    def _told(self) -> tuple[Candidate, ...]:
        if self._seen is not None:
            views, loads = self._seen
            ranked = [
                (self._order(candidate, view, load), candidate)
                for view, load in zip(views, loads, strict=True)
                for candidate in [self._candidate(view, load)]
            ]
            first = nsmallest(len(self), ranked)
            self._candidates, self._seen = tuple(candidate for _, candidate in first), None
        return self._candidates

    def _candidate(self, view: ReplicaView, load: int) -> Candidate:
        return Candidate(view.key, self._refusal(view, load), self._estimates.get(view.key))

    def _order(self, told: Candidate, view: ReplicaView, load: int) -> tuple[object, ...]:
        return (
            told.refused is not None,
            -_HOPE.get(told.refused, 0),
            float("inf") if told.estimate is None else told.estimate.total_s,
            rank_of(view, load),
        )

    def _refusal(self, view: ReplicaView, load: int) -> Refusal | None:
        if view.key == self._chosen:
            return None
        standing = standing_refusal(self._constraint, view)
        if standing is None and view.key in self._tried:
            standing = Refusal.ALREADY_TRIED
        full = load >= view.slots_total
        return standing or passing_refusal(view) or (Refusal.NO_SLOT if full else Refusal.NOT_FIRST)
