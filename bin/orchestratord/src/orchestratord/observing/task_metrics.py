"""Counts what becomes of tasks."""

from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

from admission_coordinator import Task
from api_types import ApiError
from telemetry_core import Metrics

ANY_POOL = "any"
"""The pool label of what is not bound to a pool."""


@dataclass(frozen=True, slots=True)
class _PoolChildren:
    """The children of one pool and priority, looked up once."""

    dispatched: Counter
    handover: Histogram
    first_token: Histogram
    decode: Histogram
    tokens_in: Counter
    tokens_out: Counter


class TaskMetrics:
    """A TaskObserver that counts; the waiting tasks are counted by following each of them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._depth = metrics.gauge("orchd_admission_queue_depth")
        self._enqueued = metrics.counter("orchd_admission_enqueued_total")
        self._rejected = metrics.counter("orchd_admission_rejected_total")
        self._finished = metrics.counter("orchd_tasks_finished_total")
        self._decisions = metrics.counter("orchd_placement_decisions_total")
        self._placement = metrics.histogram("orchd_placement_latency_ms").labels()
        self._candidates = metrics.histogram("orchd_placement_candidates").labels()
        self._start_error = metrics.histogram("orchd_predicted_start_error_ms").labels()
        self._failovers = metrics.counter("orchd_task_failovers_total")
        self._waiting: dict[str, Gauge] = {}
        self._pools: dict[tuple[str, str], _PoolChildren] = {}
        # Labels cost more than counting does; clients choose some, so not all are kept for ever.
        keep = lru_cache(maxsize=256)
        self._enqueued_for = keep(self._find_enqueued)
        self._finished_as = keep(self._find_finished)
        self._depth_of = keep(self._find_depth)
        self._placed = {
            pinned: self._decisions.labels(outcome="placed", pinned=str(pinned).lower())
            for pinned in (False, True)
        }

    def admitted(self, task: Task) -> None:
        """Count a task that waits from now on."""
        self._enqueued_for(_wanted_pool(task)).inc()
        self._wait(task)

    def refused(self, error: ApiError, *, model_id: str | None, identity: str) -> None:  # noqa: ARG002
        """Count a refusal by its code."""
        self._rejected.labels(pool_id=error.pool_id or ANY_POOL, reason=error.code).inc()

    def dispatched(self, task: Task) -> None:
        """Count a task that waits no longer."""
        self._leave(task)
        self._pool(task).dispatched.inc()
        self._placed[task.request.placement.pin_pool_id is not None].inc()
        self._placement.observe(task.placement_ms)
        self._candidates.observe(len(task.candidates))
        if task.queue_time_ms is not None:
            self._start_error.observe(abs(task.queue_time_ms - task.predicted_start_ms))

    def first_token(self, task: Task) -> None:
        """Measure the time to the first token, and what of it was the hand-over."""
        if task.handover_ms is not None:
            self._pool(task).handover.observe(task.handover_ms)
        if task.first_token_ms is not None:
            self._pool(task).first_token.observe(task.first_token_ms)

    def put_back(self, task: Task, cause: str) -> None:
        """Count a lost attempt."""
        self._failovers.labels(kind=cause).inc()
        self._wait(task)

    def ended(self, task: Task) -> None:
        """Count an end, and what was generated."""
        waited = self._leave(task)
        outcome = "finished" if task.error is None else task.error.code
        if waited and task.error is not None and task.error.code == "QUEUE_FULL_DROP_LRU":
            self._rejected.labels(pool_id=_wanted_pool(task), reason=task.error.code).inc()
        self._finished_as(task.pool_id or ANY_POOL, outcome).inc()
        if task.pool_id is None:
            return
        pool = self._pool(task)
        pool.tokens_in.inc(task.tokens_in or 0)
        pool.tokens_out.inc(task.tokens_out or 0)
        if task.decode_time_ms is not None:
            pool.decode.observe(task.decode_time_ms)

    def _wait(self, task: Task) -> None:
        gauge = self._depth_of(_wanted_pool(task), task.model_id, task.request.priority.value)
        gauge.inc()
        self._waiting[task.task_id] = gauge

    def _leave(self, task: Task) -> bool:
        gauge = self._waiting.pop(task.task_id, None)
        if gauge is not None:
            gauge.dec()
        return gauge is not None

    def _find_enqueued(self, pool_id: str) -> Counter:
        return self._enqueued.labels(pool_id=pool_id, outcome="enqueued")

    def _find_finished(self, pool_id: str, outcome: str) -> Counter:
        return self._finished.labels(pool_id=pool_id, outcome=outcome)

    def _find_depth(self, pool_id: str, model_id: str, priority: str) -> Gauge:
        return self._depth.labels(pool_id=pool_id, model_id=model_id, priority=priority)

    def _pool(self, task: Task) -> _PoolChildren:
        pool_id, priority = task.pool_id or ANY_POOL, task.request.priority.value
        children = self._pools.get((pool_id, priority))
        if children is None:
            counter, histogram = self._metrics.counter, self._metrics.histogram
            children = self._pools[pool_id, priority] = _PoolChildren(
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


def _wanted_pool(task: Task) -> str:
    return task.request.placement.pin_pool_id or ANY_POOL
