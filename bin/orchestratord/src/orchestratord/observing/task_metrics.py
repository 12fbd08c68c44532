"""Counts what becomes of tasks.

A task tells each of its steps in one append; what the steps of many tasks come to is found out
in one go (`telemetry_core.Facts`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import prometheus_client

from admission_coordinator import Task
from api_types import ApiError, ErrorCode, Priority
from telemetry_core import MANY, Metrics, TallyHistogram

ANY_POOL = "any"
"""The pool label of what is not bound to a pool."""

_Queue = tuple[str | None, str, Priority]
"""Where a task waits: the pool it is pinned to, its model, its priority."""
_Place = tuple[str | None, Priority]
"""Where it runs: the pool, and its priority there."""
_Dispatch = tuple[_Place, _Queue, float, int, int | None, int]
"""How long the decision took and among how many; the wait, and what had been told of it."""
_FirstToken = tuple[_Place, float | None, int | None]
"""How long the hand-over took, and all from the admission on."""
_End = tuple[_Place, _Queue, str | None, int | None, int | None, int | None]
"""The error's code; tokens in and out, and how long the latter took."""
_Located = TypeVar("_Located", _FirstToken, _End)


@dataclass(frozen=True, slots=True)
class _PoolChildren:
    """The children of one pool and priority."""

    dispatched: prometheus_client.Counter
    handover: TallyHistogram
    first_token: TallyHistogram
    decode: TallyHistogram
    tokens_in: prometheus_client.Counter
    tokens_out: prometheus_client.Counter


class TaskMetrics:
    """A TaskObserver that counts; a task without a pool is one that waits."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._depth = metrics.gauge("orchd_admission_queue_depth")
        self._enqueued = metrics.counter("orchd_admission_enqueued_total")
        self._rejected = metrics.counter("orchd_admission_rejected_total")
        self._finished = metrics.counter("orchd_tasks_finished_total")
        self._placement = metrics.histogram("orchd_placement_latency_ms").labels()
        self._candidates = metrics.histogram("orchd_placement_candidates").labels()
        self._start_error = metrics.histogram("orchd_predicted_start_error_ms").labels()
        self._failovers = metrics.counter("orchd_task_failovers_total")
        decisions = metrics.counter("orchd_placement_decisions_total")
        self._pools: dict[_Place, _PoolChildren] = {}
        self._placed = {
            pinned: decisions.labels(outcome="placed", pinned=str(pinned).lower())
            for pinned in (False, True)
        }
        self._admissions = metrics.facts(self._count_admissions)
        self._dispatches = metrics.facts(self._count_dispatches)
        self._first_tokens = metrics.facts(self._count_first_tokens)
        self._ends = metrics.facts(self._count_ends)

    def admitted(self, task: Task) -> None:
        """Note a task that waits from now on."""
        request = task.request
        self._admissions.tell((request.placement.pin_pool_id, task.model_id, request.priority))

    def refused(self, error: ApiError, *, model_id: str | None, identity: str) -> None:  # noqa: ARG002
        """Count a refusal by its code."""
        self._rejected.labels(pool_id=error.pool_id or ANY_POOL, reason=error.code).inc()

    def dispatched(self, task: Task) -> None:
        """Note a task that waits no longer."""
        request = task.request
        self._dispatches.tell(
            (
                (task.pool_id, request.priority),
                (request.placement.pin_pool_id, task.model_id, request.priority),
                task.placement_ms,
                len(task.candidates),
                task.queue_time_ms,
                task.predicted_start_ms,
            )
        )

    def first_token(self, task: Task) -> None:
        """Note the time to the first token, and what of it was the hand-over."""
        self._first_tokens.tell(
            ((task.pool_id, task.request.priority), task.handover_ms, task.first_token_ms)
        )

    def put_back(self, task: Task, cause: str) -> None:
        """Count a lost attempt, after which the task waits again."""
        request = task.request
        self._failovers.labels(kind=cause).inc()
        self._depth_of((request.placement.pin_pool_id, task.model_id, request.priority)).inc()

    def ended(self, task: Task) -> None:
        """Note an end, and what was generated."""
        request, error = task.request, task.error
        self._ends.tell(
            (
                (task.pool_id, request.priority),
                (request.placement.pin_pool_id, task.model_id, request.priority),
                None if error is None else error.code,
                task.tokens_in,
                task.tokens_out,
                task.decode_time_ms,
            )
        )
        if len(self._ends.waiting) >= MANY:  # Every task ends, so there are few of all others too.
            self._metrics.settle()

    def _count_admissions(self, facts: Sequence[_Queue]) -> None:
        for queue, many in Counter(facts).items():
            self._enqueued.labels(pool_id=queue[0] or ANY_POOL, outcome="enqueued").inc(many)
            self._depth_of(queue).inc(many)

    def _count_dispatches(self, facts: Sequence[_Dispatch]) -> None:
        places, queues, placement_ms, candidates, waited_ms, told_ms = zip(*facts, strict=True)
        for queue, many in Counter(queues).items():
            self._depth_of(queue).dec(many)
            self._placed[queue[0] is not None].inc(many)
        for place, many in Counter(places).items():
            self._pool(place).dispatched.inc(many)
        self._placement.observe_all(placement_ms)
        self._candidates.observe_all(candidates)
        errors_ms = [
            waited - told
            for waited, told in zip(waited_ms, told_ms, strict=True)
            if waited is not None
        ]
        self._start_error.observe_all(map(abs, errors_ms))

    def _count_first_tokens(self, facts: Sequence[_FirstToken]) -> None:
        for place, alike in _by_place(facts):
            _places, handover_ms, first_token_ms = zip(*alike, strict=True)
            pool = self._pool(place)
            pool.handover.observe_all(_known(handover_ms))
            pool.first_token.observe_all(_known(first_token_ms))

    def _count_ends(self, facts: Sequence[_End]) -> None:
        kinds = Counter([fact[:3] for fact in facts])
        for ((pool_id, _priority), queue, code), many in kinds.items():
            outcome = "finished" if code is None else code
            self._finished.labels(pool_id=pool_id or ANY_POOL, outcome=outcome).inc(many)
            if pool_id is not None:
                continue
            self._depth_of(queue).dec(many)  # It still waited.
            if code == ErrorCode.QUEUE_FULL_DROP_LRU:
                self._rejected.labels(pool_id=queue[0] or ANY_POOL, reason=code).inc(many)
        for place, alike in _by_place(facts):
            if place[0] is not None:
                *_rest, tokens_in, tokens_out, decode_ms = zip(*alike, strict=True)
                pool = self._pool(place)
                pool.tokens_in.inc(sum(_known(tokens_in)))
                pool.tokens_out.inc(sum(_known(tokens_out)))
                pool.decode.observe_all(_known(decode_ms))

    def _depth_of(self, queue: _Queue) -> prometheus_client.Gauge:
        pin_pool_id, model_id, priority = queue
        return self._depth.labels(
            pool_id=pin_pool_id or ANY_POOL, model_id=model_id, priority=priority.value
        )

    def _pool(self, place: _Place) -> _PoolChildren:
        children = self._pools.get(place)
        if children is None:
            pool_id, priority = place[0] or ANY_POOL, place[1].value
            counter, histogram = self._metrics.counter, self._metrics.histogram
            children = self._pools[place] = _PoolChildren(
                counter("orchd_tasks_dispatched_total").labels(
                    pool_id=pool_id, outcome="dispatched"
                ),
                histogram("orchd_dispatch_latency_ms").labels(pool_id=pool_id),
                histogram("orchd_first_token_ms").labels(pool_id=pool_id, priority=priority),
                histogram("orchd_decode_ms").labels(pool_id=pool_id, priority=priority),
                counter("orchd_tokens_in_total").labels(pool_id=pool_id),
                counter("orchd_tokens_out_total").labels(pool_id=pool_id),
            )
        return children


def _by_place(facts: Sequence[_Located]) -> Iterable[tuple[_Place, list[_Located]]]:
    """Sort facts by the place that each of them begins with."""
    found: defaultdict[_Place, list[_Located]] = defaultdict(list)
    for fact in facts:
        found[fact[0]].append(fact)
    return found.items()


def _known(amounts: Iterable[float | None]) -> list[float]:
    """Leave out what was not measured."""
    return [amount for amount in amounts if amount is not None]
