"""Where tasks wait: one bounded queue a model, with what was measured of its service times."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.task import Task
from api_types import ApiError, ErrorCode, Priority
from orchestrator_core import (
    ByteBudget,
    DrainRate,
    FullPolicy,
    ModelQueue,
    QueuedTask,
    QueueLimits,
    Refused,
    ServiceTimes,
    deadline_feasible,
    on_time_probability,
    predicted_start_ms,
)


@dataclass(slots=True)
class ModelLine:
    """The queue of one model and what is known of how fast it moves."""

    model_id: str
    queue: ModelQueue
    times: ServiceTimes = field(default_factory=ServiceTimes)
    drain: DrainRate = field(default_factory=DrainRate)
    running: set[Task] = field(default_factory=set)
    moved: bool = False
    """Whether positions may have changed since readers were last told."""
    told_prep: dict[str, Any] | None = None
    """The preparation steps as readers were last told."""

    def ages_ms(self, now_ms: int) -> list[float]:
        """How long each running task has been running."""
        return [float(now_ms - (task.dispatched_ms or now_ms)) for task in self.running]

    def predicted_start_ms(self, position: int, slots: int, now_ms: int) -> int:
        """In how many ms a task at this place starts; 0 where nothing was measured yet."""
        found = predicted_start_ms(self.times, position, self.ages_ms(now_ms), max(1, slots))
        return found or 0

    def on_time(self, task: Task, position: int, slots: int, now_ms: int) -> float | None:
        """How likely a task keeps its deadline; None without a deadline or measurements."""
        if task.deadline_at_ms is None:
            return None
        return on_time_probability(
            self.times,
            position,
            self.ages_ms(now_ms),
            max(1, slots),
            remaining_ms=task.deadline_at_ms - now_ms,
            expected_tokens=task.request.expected_tokens,
        )

    def deadline_feasible(self, task: Task, slots: int, now_ms: int) -> bool:
        """Whether a new task may still end in time, seen with optimism."""
        if task.deadline_at_ms is None:
            return True
        return deadline_feasible(
            self.times,
            self.queue.position_of_new(task.request.priority, task.identity),
            self.ages_ms(now_ms),
            max(1, slots),
            remaining_ms=task.deadline_at_ms - now_ms,
            expected_tokens=task.request.expected_tokens,
        )

    def retry_after_ms(self, now_ms: int) -> int:
        """When to come back, by the measured drain rate."""
        oldest = max(self.ages_ms(now_ms), default=None)
        return self.drain.retry_after_ms(
            now_ms, len(self.queue), None if oldest is None else int(oldest)
        )


def as_queued(task: Task) -> QueuedTask:
    """Return what a queue has to know of a task."""
    return QueuedTask(
        task_id=task.task_id,
        number=task.number,
        priority=task.request.priority,
        identity=task.identity,
        constraint=task.constraint,
        enqueued_ms=task.created_ms,
        size_bytes=task.size_bytes,
        deadline_ms=task.deadline_at_ms,
    )


class WaitingRoom:
    """The lines of all models; they share the bytes."""

    def __init__(self, settings: CoordinatorSettings) -> None:
        self._settings = settings
        self._bytes = ByteBudget(settings.max_queue_bytes)
        self._lines: dict[str, ModelLine] = {}

    def __iter__(self) -> Iterator[ModelLine]:
        return iter(self._lines.values())

    def line(self, model_id: str) -> ModelLine:
        """Return the line of a model, opened when first asked for."""
        line = self._lines.get(model_id)
        if line is None:
            limits = QueueLimits(
                capacity=self._settings.capacity,
                max_wait_ms=self._settings.queue_max_wait_ms,
                batch_max_wait_ms=self._settings.batch_max_wait_ms,
            )
            queue = ModelQueue(limits, self._settings.full_policy, self._bytes)
            line = self._lines[model_id] = ModelLine(model_id, queue)
        return line

    def find(self, model_id: str) -> ModelLine | None:
        """Return the line of a model if one was ever opened."""
        return self._lines.get(model_id)

    def depth(self, model_id: str | None = None, priority: Priority | None = None) -> int:
        """Count waiting tasks, of one model or of all, of one priority or of both."""
        if model_id is None and priority is None:
            return self._bytes.tasks
        priorities = list(Priority) if priority is None else [priority]
        return sum(
            line.queue.depth(p)
            for line in self._lines.values()
            if model_id in (None, line.model_id)
            for p in priorities
        )

    @property
    def waiting(self) -> bool:
        """Whether any task waits."""
        return self._bytes.tasks > 0

    def refusal(self, refused: Refused, line: ModelLine, now_ms: int) -> ApiError:
        """Return the answer for a task that the queue did not take."""
        policy = self._settings.full_policy
        code = (
            ErrorCode.ADMISSION_REJECT
            if policy is FullPolicy.REJECT
            else ErrorCode.QUEUE_FULL_DROP_LRU
        )
        return ApiError(
            code,
            f"the queue of model {line.model_id} is full ({len(line.queue)} waiting, "
            f"{refused.reason.value})",
            hint="come back after retry_after_ms",
            policy_label=policy.value,
            retry_after_ms=line.retry_after_ms(now_ms),
        )

    def dropped(self, line: ModelLine, now_ms: int) -> ApiError:
        """Return why a waiting task had to leave for a newer one."""
        return ApiError(
            ErrorCode.QUEUE_FULL_DROP_LRU,
            f"the queue of model {line.model_id} was full and this task was the oldest of the "
            "lowest priority: it was dropped to admit a newer one",
            policy_label=self._settings.full_policy.value,
            retry_after_ms=line.retry_after_ms(now_ms),
        )
