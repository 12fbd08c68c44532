"""The values that go into a queue and come out of it."""

from dataclasses import dataclass
from enum import StrEnum

from api_types import Priority
from orchestrator_core.constraint import Constraint


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedTask:
    """A task that waits."""

    task_id: str
    number: int
    """The admission number: it rises with every offer, and a task keeps it for life."""
    priority: Priority
    identity: str
    constraint: Constraint
    enqueued_ms: int
    """Never before that of an earlier offer to the same queue."""
    size_bytes: int = 0
    deadline_ms: int | None = None
    """The moment, on the same clock as `enqueued_ms`, by which it must have ended."""
    requeued: bool = False


class FullPolicy(StrEnum):
    """What happens to a new task when the queue is full."""

    REJECT = "reject"
    DROP_LRU = "drop-lru"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """The bounds of one queue."""

    capacity: int = 100
    max_wait_ms: int = 600_000
    batch_max_wait_ms: int = 30_000
    interactive_run: int = 8
    """So many interactive tasks in a row before a batch task goes next."""


class RefusedBecause(StrEnum):
    """Why the queue did not take a task."""

    FULL = "full"
    """By count, and nothing may be dropped for it."""
    BYTES = "bytes"
    """By bytes, and nothing may be dropped for it."""
    IDENTITY_SHARE = "identity_share"
    """This identity already holds half of the capacity while others wait."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The task waits; `dropped` made room for it and must be told (drop-lru only)."""

    position: int
    """How many tasks go before it, see `ModelQueue.position`."""
    dropped: tuple[QueuedTask, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The queue is unchanged."""

    reason: RefusedBecause


Admission = Admitted | Refused


class ExpiredBecause(StrEnum):
    """Which limit a waiting task ran into."""

    DEADLINE = "deadline"
    MAX_WAIT = "max_wait"


@dataclass(frozen=True, slots=True)
class Expired:
    """A task that has left the queue because its time was up."""

    task: QueuedTask
    cause: ExpiredBecause


class ByteBudget:
    """Bytes of waiting tasks, shared by all queues of a process."""

    __slots__ = ("limit_bytes", "tasks", "used_bytes")

    def __init__(self, limit_bytes: int = 64 * 1024 * 1024) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.tasks = 0
        """How many tasks the used bytes belong to."""

    @property
    def free_bytes(self) -> int:
        """Bytes up to the limit; below 0 when tasks put back stand above it."""
        return self.limit_bytes - self.used_bytes

    def add(self, size_bytes: int) -> None:
        """Count a task in; one that was put back may push the sum over the limit."""
        self.used_bytes += size_bytes
        self.tasks += 1

    def remove(self, size_bytes: int) -> None:
        """Count a task out."""
        self.used_bytes -= size_bytes
        self.tasks -= 1
