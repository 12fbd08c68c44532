"""The queue of one model: two priorities, lanes, turns between identities, bounds.

A task waits in the lane of its constraint. When a slot frees on a replica, `take` chooses among
the lanes which that replica may serve: the higher priority, then tasks put back, then the
identity whose turn it is, then the lowest admission number.
"""

from collections.abc import Callable, Iterator

from api_types import Priority
from orchestrator_core.constraint import Constraint
from orchestrator_core.waiting import (
    Admission,
    ByteBudget,
    Expired,
    FullPolicy,
    QueuedTask,
    QueueLimits,
)

Serves = Callable[[Constraint], bool]


class ModelQueue:
    """Tasks that wait for a slot, of one model or of one pinned pool.

    Single-threaded, reads no clock: every call that depends on time is given `now_ms`.
    Offers, cancels and takes cost the same at ten and at 100,000 waiting tasks; a take also
    looks once at each lane.
    """

    def __init__(
        self,
        limits: QueueLimits | None = None,
        policy: FullPolicy = FullPolicy.DROP_LRU,
        byte_budget: ByteBudget | None = None,
    ) -> None:
        self.limits = limits or QueueLimits()
        self.policy = policy
        self.byte_budget = byte_budget or ByteBudget()

    def offer(self, task: QueuedTask) -> Admission:
        """Let a new task wait, or say why not; drop-lru may name tasks that had to leave."""
        raise NotImplementedError

    def put_back(self, task: QueuedTask, *, away_ms: int = 0) -> QueuedTask:
        """Return a task that had left, to the front of its priority, over any limit.

        It keeps its number; `away_ms`, the time since it was taken, does not count as waiting.
        """
        raise NotImplementedError

    def cancel(self, task_id: str) -> QueuedTask | None:
        """Take a task out wherever it stands; None if it does not wait here."""
        raise NotImplementedError

    def cancel_lane(self, constraint: Constraint) -> list[QueuedTask]:
        """Take out every task of a lane, in order of admission: nothing will ever serve it."""
        raise NotImplementedError

    def take(self, serves: Serves, now_ms: int) -> QueuedTask | None:
        """Take the task that goes next on a replica for which `serves` holds; None if none fits."""
        raise NotImplementedError

    def expire(self, now_ms: int) -> list[Expired]:
        """Take out the tasks whose deadline has passed or which have waited too long."""
        raise NotImplementedError

    def next_expiry_ms(self) -> int | None:
        """Tell when `expire` next has something to do; None: never, as things are."""
        raise NotImplementedError

    def position(self, task_id: str) -> int | None:
        """Tell how many tasks go before this one, as if one replica served every lane.

        Exact while one identity waits; with several it may be too high by fewer than there are
        identities. Costs the number of tasks of the same identity before it: for many tasks
        use `positions`.
        """
        raise NotImplementedError

    def positions(self) -> Iterator[tuple[QueuedTask, int]]:
        """Give every task with its exact position, in the order of dispatch, in linear time."""
        raise NotImplementedError

    def depth(self, priority: Priority) -> int:
        """Count the waiting tasks of a priority, those put back included."""
        raise NotImplementedError

    def lanes(self) -> list[Constraint]:
        """List the constraints under which tasks wait."""
        raise NotImplementedError

    @property
    def size_bytes(self) -> int:
        """Bytes of this queue's own tasks."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __contains__(self, task_id: object) -> bool:
        raise NotImplementedError
