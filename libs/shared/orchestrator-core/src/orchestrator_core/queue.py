"""The queue of one model: two priorities, lanes, turns between identities, bounds.

A task waits in the lane of its constraint. When a slot frees on a replica, `take` chooses among
the lanes which that replica may serve: the higher priority, then tasks put back, then the
identity whose turn it is, then the lowest admission number.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import heapify, heappop, heappush

from api_types import Priority
from orchestrator_core.constraint import Constraint
from orchestrator_core.errors import AdmissionOrder, DuplicateTask
from orchestrator_core.lanes import Lane, Line, Turns
from orchestrator_core.waiting import (
    Admission,
    Admitted,
    ByteBudget,
    Expired,
    ExpiredBecause,
    FullPolicy,
    QueuedTask,
    QueueLimits,
    Refused,
    RefusedBecause,
)

Serves = Callable[[Constraint], bool]
_STALE_DEADLINES = 1024
"""Deadlines of tasks that have left are swept when there are more than this and than live ones."""


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
        self.size_bytes = 0
        """Bytes of this queue's own tasks."""
        self._tasks: dict[str, QueuedTask] = {}
        self._lanes: dict[Constraint, Lane] = {}
        self._interactive = Turns()
        self._batch = Turns()
        self._deadlines: list[tuple[int, int, QueuedTask]] = []
        self._deadlines_pushed = 0
        self._live_deadlines = 0
        self._last_number: int | None = None
        self._run = 0
        self._last_batch_ms: int | None = None

    # in

    def offer(self, task: QueuedTask) -> Admission:
        """Let a new task wait, or say why not; drop-lru may name tasks that had to leave."""
        if self._last_number is not None and task.number <= self._last_number:
            raise AdmissionOrder(f"number {task.number} after {self._last_number}")
        if task.task_id in self._tasks:
            raise DuplicateTask(task.task_id)
        if self._over_share(task.identity):
            return Refused(RefusedBecause.IDENTITY_SHARE)
        victims = self._room_for(task)
        if isinstance(victims, RefusedBecause):
            return Refused(victims)
        for victim in victims:
            self._remove(victim)
        self._last_number = task.number
        self._add(task)
        return Admitted(
            self._position(task.priority, self._turns(task.priority).held[task.identity] - 1),
            tuple(victims),
        )

    def pass_through(self, number: int, priority: Priority, size_bytes: int, now_ms: int) -> bool:
        """Count a new task that goes to a free slot at once, as if it was offered and taken.

        That is, while nothing waits and it is within every bound; else False, with nothing done.
        """
        if (
            self._tasks
            or self.limits.capacity < 1
            or size_bytes > self.byte_budget.limit_bytes - self.byte_budget.used_bytes
            or (self._last_number is not None and number <= self._last_number)
        ):
            return False
        self._last_number = number
        self._count_dispatch(priority, now_ms)
        return True

    def put_back(self, task: QueuedTask, *, away_ms: int = 0) -> QueuedTask:
        """Return a task that had left, to the front of its priority, over any limit.

        It keeps its number; `away_ms`, the time since it was taken, does not count as waiting.
        Its constraint may have changed: one that excludes a replica on which it failed puts it
        in a lane of its own.
        """
        if task.task_id in self._tasks:
            raise DuplicateTask(task.task_id)
        back = replace(task, requeued=True, enqueued_ms=task.enqueued_ms + away_ms)
        self._add(back)
        return back

    # out

    def take(self, serves: Serves, now_ms: int) -> QueuedTask | None:
        """Take the task that goes next on a replica for which `serves` holds; None if none fits."""
        lanes = [lane for lane in self._lanes.values() if serves(lane.constraint)]
        if not lanes:
            return None
        if self._batch_is_due(now_ms):
            task = self._head(self._batch, [lane.batch for lane in lanes])
            task = task or self._head(self._interactive, [lane.interactive for lane in lanes])
        else:
            task = self._head(self._interactive, [lane.interactive for lane in lanes])
            task = task or self._head(self._batch, [lane.batch for lane in lanes])
        if task is None:
            return None
        self._remove(task, served=True)
        self._count_dispatch(task.priority, now_ms)
        return task

    def _count_dispatch(self, priority: Priority, now_ms: int) -> None:
        if priority is Priority.BATCH:
            self._run = 0
            self._last_batch_ms = now_ms
        else:
            self._run += 1

    def cancel(self, task_id: str) -> QueuedTask | None:
        """Take a task out wherever it stands; None if it does not wait here."""
        task = self._tasks.get(task_id)
        if task is not None:
            self._remove(task)
        return task

    def cancel_lane(self, constraint: Constraint) -> list[QueuedTask]:
        """Take out every task of a lane, in order of admission: nothing will ever serve it."""
        lane = self._lanes.get(constraint)
        if lane is None:
            return []
        tasks = sorted(
            (*lane.interactive.tasks(), *lane.batch.tasks()), key=lambda task: task.number
        )
        for task in tasks:
            self._remove(task)
        return tasks

    def expire(self, now_ms: int) -> list[Expired]:
        """Take out the tasks whose deadline has passed or which have waited too long."""
        expired: list[Expired] = []
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            entry = heappop(self._deadlines)
            if self._is_live(entry):
                self._live_deadlines -= 1
                self._remove(entry[2], deadline_popped=True)
                expired.append(Expired(entry[2], ExpiredBecause.DEADLINE))
        for turns in (self._interactive, self._batch):
            for task in [*turns.front.values(), *self._overdue(turns, now_ms)]:
                if task.enqueued_ms + self.limits.max_wait_ms <= now_ms:
                    self._remove(task)
                    expired.append(Expired(task, ExpiredBecause.MAX_WAIT))
        return expired

    # questions

    def next_expiry_ms(self) -> int | None:
        """Tell when `expire` next has something to do; None: never, as things are."""
        while self._deadlines and not self._is_live(self._deadlines[0]):
            heappop(self._deadlines)
        moments = [self._deadlines[0][0]] if self._deadlines else []
        for turns in (self._interactive, self._batch):
            moments += [task.enqueued_ms + self.limits.max_wait_ms for task in turns.oldest()]
        return min(moments, default=None)

    def position(self, task_id: str) -> int | None:
        """Tell how many tasks go before this one, as if one replica served every lane.

        Exact while one identity waits; with several it may be too high by fewer than there are
        identities. Costs the number of tasks of the same identity before or behind it, whichever
        is lower: for many tasks use `positions`.
        """
        task = self._tasks.get(task_id)
        if task is None:
            return None
        turns = self._turns(task.priority)
        if task.requeued:
            before = sum(number < task.number for number in turns.front)
            return self._among_both(task.priority, before)
        if task.number == self._last_number:  # The one that is asked for most is the newest.
            return self._position(task.priority, turns.held[task.identity] - 1)
        lines = (lane.line(task.priority) for lane in self._lanes.values())
        return self._position(task.priority, sum(line.ahead_of(task) for line in lines))

    def position_of_new(self, priority: Priority, identity: str) -> int:
        """Tell the position that a task would have if it were offered now."""
        return self._among_both(priority, self._turns(priority).before_new(identity))

    def positions(self) -> Iterator[tuple[QueuedTask, int]]:
        """Give every task with its exact position, in the order of dispatch, in linear time."""
        interactive, batch = self._interactive.in_order(), self._batch.in_order()
        run, left = self._run, len(self._interactive)
        for position in range(len(self._tasks)):
            due = run >= self.limits.interactive_run or not left
            task = next(batch, None) if due else None
            if task is None:
                task = next(interactive)
                run += 1
                left -= 1
            else:
                run = 0
            yield task, position

    def depth(self, priority: Priority) -> int:
        """Count the waiting tasks of a priority, those put back included."""
        return len(self._turns(priority))

    def lanes(self) -> list[Constraint]:
        """List the constraints under which tasks wait."""
        return list(self._lanes)

    def waits(self) -> Iterator[tuple[Constraint, int, int]]:
        """Give each lane with the number of its tasks and since when one waits, in Unix ms."""
        for constraint, lane in self._lanes.items():
            oldest = (*lane.interactive.oldest(), *lane.batch.oldest())
            yield constraint, lane.length, min(task.enqueued_ms for task in oldest)

    def get(self, task_id: str) -> QueuedTask | None:
        """Look a waiting task up."""
        return self._tasks.get(task_id)

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._tasks

    # bounds

    @property
    def _counted(self) -> int:
        """How many tasks count against the capacity."""
        return len(self._interactive.arrivals) + len(self._batch.arrivals)

    def _over_share(self, identity: str) -> bool:
        held = self._interactive.held.get(identity, 0) + self._batch.held.get(identity, 0)
        return held < self._counted and held >= max(1, self.limits.capacity // 2)

    def _room_for(self, task: QueuedTask) -> list[QueuedTask] | RefusedBecause:
        """Name the tasks that must leave so that this one fits, or what stands against it."""
        spare = self.limits.capacity - self._counted
        lacking_bytes = task.size_bytes - self.byte_budget.free_bytes
        if spare > 0 and lacking_bytes <= 0:
            return []
        refusal = RefusedBecause.FULL if spare <= 0 else RefusedBecause.BYTES
        if self.policy is FullPolicy.REJECT or lacking_bytes > self.size_bytes:
            return refusal
        victims: list[QueuedTask] = []
        lower_or_own = (
            (self._batch,) if task.priority is Priority.BATCH else (self._batch, self._interactive)
        )
        for turns in lower_or_own:
            for victim in turns.arrivals.values():
                victims.append(victim)
                lacking_bytes -= victim.size_bytes
                if spare + len(victims) > 0 and lacking_bytes <= 0:
                    return victims
        return refusal

    # order

    def _batch_is_due(self, now_ms: int) -> bool:
        """Whether the starvation bound gives this dispatch to a batch task.

        The wait counts from the last batch dispatch: were it the oldest task's alone, a backlog
        of old batch tasks would take every slot and starve the interactive ones instead.
        """
        if self._run >= self.limits.interactive_run:
            return True
        oldest = self._batch.oldest()
        if not oldest:
            return False
        since = min(task.enqueued_ms for task in oldest)
        if self._last_batch_ms is not None:
            since = max(since, self._last_batch_ms)
        return now_ms - since >= self.limits.batch_max_wait_ms

    def _head(self, turns: Turns, lines: list[Line]) -> QueuedTask | None:
        best: QueuedTask | None = None
        best_turn = 0
        for line in lines:
            head = line.head(turns.turn_of)
            if head is None:
                continue
            turn, task = head
            if best is None or (turn, task.number) < (best_turn, best.number):
                best_turn, best = turn, task
        return best

    def _position(self, priority: Priority, own_ahead: int) -> int:
        return self._among_both(priority, self._turns(priority).before(own_ahead))

    def _among_both(self, priority: Priority, before: int) -> int:
        """Add what the other priority sends in between."""
        every = self.limits.interactive_run
        run = min(self._run, every)
        if priority is Priority.BATCH:
            return before + min(len(self._interactive), (before + 1) * every - run)
        return before + min(len(self._batch), (run + before) // every)

    # bookkeeping

    def _turns(self, priority: Priority) -> Turns:
        return self._batch if priority is Priority.BATCH else self._interactive

    def _add(self, task: QueuedTask) -> None:
        self._tasks[task.task_id] = task
        turns = self._turns(task.priority)
        turns.add(task)
        lane = self._lanes.get(task.constraint)
        if lane is None:
            lane = self._lanes[task.constraint] = Lane(task.constraint)
        lane.length += 1
        lane.line(task.priority).add(task, turns.turn_of.get(task.identity, 0))
        self.size_bytes += task.size_bytes
        self.byte_budget.add(task.size_bytes)
        if task.deadline_ms is not None:
            self._deadlines_pushed += 1
            heappush(self._deadlines, (task.deadline_ms, self._deadlines_pushed, task))
            self._live_deadlines += 1

    def _remove(
        self, task: QueuedTask, *, served: bool = False, deadline_popped: bool = False
    ) -> None:
        del self._tasks[task.task_id]
        self._turns(task.priority).remove(task, served=served)
        lane = self._lanes[task.constraint]
        lane.length -= 1
        if lane.length:
            lane.line(task.priority).remove(task)
        else:
            del self._lanes[task.constraint]
        self.size_bytes -= task.size_bytes
        self.byte_budget.remove(task.size_bytes)
        if task.deadline_ms is not None and not deadline_popped:
            self._live_deadlines -= 1
            stale = len(self._deadlines) - self._live_deadlines
            if stale > _STALE_DEADLINES and stale > self._live_deadlines:
                self._deadlines = [e for e in self._deadlines if self._is_live(e)]
                heapify(self._deadlines)

    def _is_live(self, entry: tuple[int, int, QueuedTask]) -> bool:
        """Whether the task of a deadline still waits; one put back has a deadline of its own."""
        return self._tasks.get(entry[2].task_id) is entry[2]

    def _overdue(self, turns: Turns, now_ms: int) -> list[QueuedTask]:
        overdue = []
        for task in turns.arrivals.values():
            if task.enqueued_ms + self.limits.max_wait_ms > now_ms:
                break
            overdue.append(task)
        return overdue

    def check_invariants(self) -> None:
        """Assert that all orders hold the same tasks within their bounds; linear, for tests."""
        tasks = list(self._tasks.values())
        assert self._counted <= self.limits.capacity
        assert self.size_bytes == sum(task.size_bytes for task in tasks)
        lined = [
            task
            for lane in self._lanes.values()
            for task in (*lane.interactive.tasks(), *lane.batch.tasks())
        ]
        assert sorted(t.number for t in lined) == sorted(t.number for t in tasks)
        for turns in (self._interactive, self._batch):
            arrivals = list(turns.arrivals)
            assert arrivals == sorted(arrivals)
            assert set(turns.held) == set(turns.turn_of)
            assert sum(turns.held.values()) == len(arrivals)
        for lane in self._lanes.values():
            lane.interactive.check_invariants(self._interactive.turn_of)
            lane.batch.check_invariants(self._batch.turn_of)
            assert lane.length > 0
        assert self._live_deadlines == sum(task.deadline_ms is not None for task in tasks)
