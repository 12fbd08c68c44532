"""The queue against its plain model, step by step, over any sequence of events."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api_types import Priority
from orchestrator_core import (
    Admitted,
    ByteBudget,
    Constraint,
    FullPolicy,
    ModelQueue,
    QueuedTask,
    QueueLimits,
    Refused,
)
from orchestrator_core.testing import ReferenceQueue, identities

LANES = [Constraint(model_id="m"), Constraint(model_id="m", strict=True)]
LIMIT_BYTES = 40


class QueueMachine(RuleBasedStateMachine):
    """Drives both queues with the same events; keeps a ledger of where each task is."""

    @initialize(
        policy=st.sampled_from(FullPolicy),
        capacity=st.integers(1, 12),
        run=st.integers(1, 3),
    )
    def start(self, policy: FullPolicy, capacity: int, run: int) -> None:
        limits = QueueLimits(
            capacity=capacity, max_wait_ms=300, batch_max_wait_ms=40, interactive_run=run
        )
        self.budget = ByteBudget(LIMIT_BYTES)
        self.queue = ModelQueue(limits, policy, self.budget)
        self.model = ReferenceQueue(limits, policy, LIMIT_BYTES)
        self.log: list[tuple] = []
        self.now_ms = 0
        self.number = 0
        self.away: list[QueuedTask] = []
        self.gone: set[str] = set()

    @rule(ms=st.integers(0, 60))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(
        identity=identities,
        priority=st.sampled_from(Priority),
        lane=st.sampled_from(LANES),
        size=st.integers(0, 12),
        patience=st.none() | st.integers(0, 100),
    )
    def offer(self, identity, priority, lane, size, patience) -> None:
        task = self.new(identity, priority, lane, size, patience)
        before = len(self.queue)
        foretold = self.queue.position_of_new(priority, identity)
        said, expected = self.queue.offer(task), self.model.offer(task)
        self.log.append(("offer", task))
        if isinstance(said, Refused):
            assert said == expected
            assert len(self.queue) == before
        else:
            assert isinstance(expected, Admitted)
            assert said.dropped == expected.dropped
            self.leave(*said.dropped)
            assert said.position == self.queue.position(task.task_id)
            assert said.dropped or said.position == foretold

    def new(self, identity, priority, lane, size, patience) -> QueuedTask:
        self.number += 1
        return QueuedTask(
            task_id=f"task-{self.number}",
            number=self.number,
            priority=priority,
            identity=identity,
            constraint=lane,
            enqueued_ms=self.now_ms,
            size_bytes=size,
            deadline_ms=None if patience is None else self.now_ms + patience,
        )

    @rule(
        identity=identities,
        priority=st.sampled_from(Priority),
        size=st.integers(0, LIMIT_BYTES + 1),
    )
    def comes_when_a_slot_is_free(self, identity, priority, size) -> None:
        """The model offers and takes: passing through must do to the queue what that does."""
        before = len(self.queue)
        task = self.new(identity, priority, LANES[0], size, None)
        passed = self.queue.pass_through(task.number, priority, size, self.now_ms)
        if not passed:
            assert before or size > LIMIT_BYTES
            return
        assert not before
        assert self.model.offer(task) == Admitted(position=0)
        assert self.model.take(LANES.__contains__, self.now_ms) == task
        self.log += [("offer", task), ("take", frozenset(LANES), self.now_ms)]
        self.away.append(task)

    @rule(able=st.sets(st.sampled_from(LANES)))
    def slot_frees(self, able) -> None:
        task = self.queue.take(able.__contains__, self.now_ms)
        assert task == self.model.take(able.__contains__, self.now_ms)
        self.log.append(("take", frozenset(able), self.now_ms))
        if task is not None:
            assert task.constraint in able
            self.away.append(task)

    @precondition(lambda self: self.away)
    @rule(data=st.data(), away_ms=st.integers(0, 50), elsewhere=st.booleans())
    def worker_is_lost(self, data, away_ms, elsewhere) -> None:
        task = self.away.pop(data.draw(st.integers(0, len(self.away) - 1)))
        if elsewhere:
            task = replace(task, constraint=LANES[1])
        back = self.queue.put_back(task, away_ms=away_ms)
        assert (back.number, back.requeued) == (task.number, True)
        self.model.put_back(back)
        self.log.append(("put_back", task, away_ms))

    @precondition(lambda self: self.away)
    @rule()
    def task_ends(self) -> None:
        self.leave(self.away.pop())

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def cancel(self, data) -> None:
        task = data.draw(st.sampled_from(self.model.waiting))
        assert self.queue.cancel(task.task_id) == self.model.cancel(task.task_id) == task
        assert self.queue.cancel(task.task_id) is None
        self.log.append(("cancel", task.task_id))
        self.leave(task)

    @rule()
    def expire(self) -> None:
        due_ms = self.queue.next_expiry_ms()
        expired = self.queue.expire(self.now_ms)
        assert set(expired) == self.model.expire(self.now_ms)
        assert bool(expired) == (due_ms is not None and due_ms <= self.now_ms)
        self.log.append(("expire", self.now_ms))
        self.leave(*(gone.task for gone in expired))

    def leave(self, *tasks: QueuedTask) -> None:
        for task in tasks:
            assert task.task_id not in self.gone
            self.gone.add(task.task_id)

    @invariant()
    def no_task_is_lost_or_doubled(self) -> None:
        waiting = sorted(task.task_id for task, _ in self.queue.positions())
        assert waiting == sorted(task.task_id for task in self.model.waiting)
        assert not self.gone.intersection(waiting)
        assert not {task.task_id for task in self.away}.intersection(waiting)

    @invariant()
    def each_lane_knows_how_many_wait_and_since_when(self) -> None:
        waits = {lane: (count, since_ms) for lane, count, since_ms in self.queue.waits()}
        by_lane: dict[Constraint, list[int]] = {}
        for task in self.model.waiting:
            by_lane.setdefault(task.constraint, []).append(task.enqueued_ms)
        assert waits == {lane: (len(since), min(since)) for lane, since in by_lane.items()}

    @invariant()
    def bounds_hold(self) -> None:
        self.queue.check_invariants()
        assert self.budget.used_bytes == self.queue.size_bytes
        assert self.budget.tasks == len(self.queue)
        put_back = sum(t.size_bytes for t in self.model.waiting if t.requeued)
        assert self.budget.used_bytes <= LIMIT_BYTES + put_back

    @invariant()
    def a_single_position_is_near_the_exact_one_and_never_lower(self) -> None:
        present = len({task.identity for task in self.model.waiting})
        every = self.queue.limits.interactive_run
        for task, exact in self.queue.positions():
            told = self.queue.position(task.task_id)
            slack = max(0, present - 1)
            slack = slack * (every + 1) if task.priority is Priority.BATCH else 2 * slack
            assert exact <= told <= exact + slack

    @invariant()
    def positions_are_the_order_of_dispatch(self) -> None:
        twin = self.replayed()
        told = [task for task, _ in self.queue.positions()]
        # A moment before any batch task is old: the wait bound is not part of a position.
        long_ago = min((task.enqueued_ms for task in told), default=0) - 1
        assert [twin.take(lambda _: True, long_ago) for _ in told] == told

    def replayed(self) -> ModelQueue:
        twin = ModelQueue(self.queue.limits, self.queue.policy, ByteBudget(LIMIT_BYTES))
        for event, *args in self.log:
            match event:
                case "take":
                    twin.take(args[0].__contains__, args[1])
                case "put_back":
                    twin.put_back(args[0], away_ms=args[1])
                case _:
                    getattr(twin, event)(*args)
        return twin


@pytest.mark.timeout(300)
def test_any_sequence_of_events_leaves_the_queue_as_its_plain_model() -> None:
    run_state_machine_as_test(
        QueueMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
