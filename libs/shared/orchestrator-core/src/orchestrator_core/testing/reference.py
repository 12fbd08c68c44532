"""What queue and placement promise, written as plainly as possible and without regard to cost."""

from api_types import Priority
from orchestrator_core.feasibility import passing_refusal, standing_refusal
from orchestrator_core.policy import PlacementInput
from orchestrator_core.queue import Serves
from orchestrator_core.replicas import ReplicaKey, ReplicaView
from orchestrator_core.waiting import (
    Admission,
    Admitted,
    Expired,
    ExpiredBecause,
    FullPolicy,
    QueuedTask,
    QueueLimits,
    Refused,
    RefusedBecause,
)


class ReferenceQueue:
    """A queue that searches one list for everything; positions are not its business."""

    def __init__(self, limits: QueueLimits, policy: FullPolicy, limit_bytes: int) -> None:
        self.limits = limits
        self.policy = policy
        self.limit_bytes = limit_bytes
        self.waiting: list[QueuedTask] = []
        self._turns: dict[tuple[Priority, str], int] = {}
        self._next_turn = 1
        self._run = 0
        self._last_batch_ms: int | None = None

    def offer(self, task: QueuedTask) -> Admission:
        """Admit, admit by dropping, or refuse; the position is given as 0."""
        counted = [t for t in self.waiting if not t.requeued]
        own = [t for t in counted if t.identity == task.identity]
        if len(counted) > len(own) and len(own) + 1 > max(1, self.limits.capacity // 2):
            return Refused(RefusedBecause.IDENTITY_SHARE)
        obstacle = self._obstacle(self.waiting, task)
        kept, dropped = list(self.waiting), []
        while obstacle and self._obstacle(kept, task):
            droppable = [
                t
                for t in kept
                if not t.requeued
                and (t.priority is Priority.BATCH or task.priority is Priority.INTERACTIVE)
            ]
            if self.policy is FullPolicy.REJECT or not droppable:
                return Refused(obstacle)
            victim = min(droppable, key=lambda t: (t.priority is not Priority.BATCH, t.number))
            kept.remove(victim)
            dropped.append(victim)
        for victim in dropped:
            self._leave(victim)
        self._join(task)
        return Admitted(0, tuple(dropped))

    def _obstacle(self, kept: list[QueuedTask], task: QueuedTask) -> RefusedBecause | None:
        if sum(not t.requeued for t in kept) >= self.limits.capacity:
            return RefusedBecause.FULL
        if sum(t.size_bytes for t in kept) + task.size_bytes > self.limit_bytes:
            return RefusedBecause.BYTES
        return None

    def put_back(self, task: QueuedTask) -> None:
        """Let a task wait that is marked as put back."""
        self._join(task)

    def cancel(self, task_id: str) -> QueuedTask | None:
        """Take a task out."""
        for task in self.waiting:
            if task.task_id == task_id:
                self._leave(task)
                return task
        return None

    def take(self, serves: Serves, now_ms: int) -> QueuedTask | None:
        """Take the task that goes next."""
        able = [t for t in self.waiting if serves(t.constraint)]
        if not able:
            return None
        wanted = Priority.BATCH if self._batch_is_due(now_ms) else Priority.INTERACTIVE
        of_priority = [t for t in able if t.priority is wanted] or able
        task = min(of_priority, key=self._order)
        self._leave(task)
        if task.priority is Priority.BATCH:
            self._run, self._last_batch_ms = 0, now_ms
        else:
            self._run += 1
        if not task.requeued and (task.priority, task.identity) in self._turns:
            self._to_the_end(task)
        return task

    def _order(self, task: QueuedTask) -> tuple[int, int]:
        turn = 0 if task.requeued else self._turns[task.priority, task.identity]
        return turn, task.number

    def _batch_is_due(self, now_ms: int) -> bool:
        batch = [t for t in self.waiting if t.priority is Priority.BATCH]
        if self._run >= self.limits.interactive_run:
            return True
        if not batch:
            return False
        since = min(t.enqueued_ms for t in batch)
        if self._last_batch_ms is not None:
            since = max(since, self._last_batch_ms)
        return now_ms - since >= self.limits.batch_max_wait_ms

    def expire(self, now_ms: int) -> set[Expired]:
        """Take out what has run out of time."""
        expired = set()
        for task in list(self.waiting):
            if task.deadline_ms is not None and task.deadline_ms <= now_ms:
                expired.add(Expired(task, ExpiredBecause.DEADLINE))
            elif task.enqueued_ms + self.limits.max_wait_ms <= now_ms:
                expired.add(Expired(task, ExpiredBecause.MAX_WAIT))
        for gone in expired:
            self._leave(gone.task)
        return expired

    def _join(self, task: QueuedTask) -> None:
        self.waiting.append(task)
        if not task.requeued and (task.priority, task.identity) not in self._turns:
            self._to_the_end(task)

    def _leave(self, task: QueuedTask) -> None:
        self.waiting.remove(task)
        whose = task.priority, task.identity
        if not any((t.priority, t.identity) == whose for t in self.waiting if not t.requeued):
            self._turns.pop(whose, None)

    def _to_the_end(self, task: QueuedTask) -> None:
        self._turns[task.priority, task.identity] = self._next_turn
        self._next_turn += 1


def reference_choice(input_: PlacementInput) -> ReplicaKey | None:
    """Choose by looking at every replica, without preferences."""
    index = input_.replicas
    able = [
        view
        for view in index
        if standing_refusal(input_.constraint, view) is None
        and passing_refusal(view) is None
        and view.key not in input_.tried
        and index.active(view.key) < view.slots_total
    ]
    scorer = input_.scorer

    def order(view: ReplicaView) -> tuple[float, float, int, ReplicaKey]:
        active = index.active(view.key)
        total_s = 0.0 if scorer is None else scorer(view, active).total_s
        return total_s, active / view.slots_total, -view.vram_free_bytes, view.key

    best = min(able, key=order, default=None)
    return None if best is None else best.key
