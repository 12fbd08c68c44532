"""What the queue promises, one sentence at a time."""

from dataclasses import replace
from itertools import count

import pytest

from api_types import Priority
from orchestrator_core import (
    AdmissionOrder,
    Admitted,
    ByteBudget,
    Constraint,
    DuplicateTask,
    Expired,
    ExpiredBecause,
    FullPolicy,
    ModelQueue,
    PoolRef,
    QueuedTask,
    QueueLimits,
    Refused,
    RefusedBecause,
)

ANY = Constraint(model_id="m")
STRICT = Constraint(model_id="m", strict=True)
BATCH, INTERACTIVE = Priority.BATCH, Priority.INTERACTIVE


class Bench:
    """A queue, and tasks named by a word."""

    def __init__(self, *, policy=FullPolicy.REJECT, byte_budget=None, **limits) -> None:
        self.queue = ModelQueue(QueueLimits(**limits), policy, byte_budget)
        self._numbers = count(1)

    def task(self, name, identity="ada", **given) -> QueuedTask:
        base = QueuedTask(
            task_id=name,
            number=next(self._numbers),
            priority=INTERACTIVE,
            identity=identity,
            constraint=ANY,
            enqueued_ms=0,
        )
        return replace(base, **given)

    def offer(self, name, identity="ada", **given):
        return self.queue.offer(self.task(name, identity, **given))

    def take(self, now_ms=0, lanes=(ANY, STRICT)):
        task = self.queue.take(lambda constraint: constraint in lanes, now_ms)
        return task and task.task_id

    def take_all(self, now_ms=0):
        return list(iter(lambda: self.take(now_ms), None))


def test_one_identity_is_served_first_in_first_out():
    bench = Bench()
    assert [bench.offer(name) for name in "abc"] == [Admitted(0), Admitted(1), Admitted(2)]
    assert bench.take_all() == ["a", "b", "c"]


def test_interactive_goes_before_batch():
    bench = Bench()
    bench.offer("night", priority=BATCH)
    bench.offer("day")
    assert bench.take_all() == ["day", "night"]


def test_identities_take_turns_however_many_tasks_one_has():
    bench = Bench()
    for name in ("a1", "a2", "a3", "a4"):
        bench.offer(name, "ada")
    bench.offer("b1", "bob")
    assert bench.offer("c1", "cyd") == Admitted(2)
    bench.offer("b2", "bob")
    assert [task.task_id for task, _ in bench.queue.positions()] == [
        "a1",
        "b1",
        "c1",
        "a2",
        "b2",
        "a3",
        "a4",
    ]
    assert bench.take_all() == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_turns_are_shared_by_all_lanes():
    bench = Bench()
    bench.offer("a1", "ada")
    bench.offer("a2", "ada", constraint=STRICT)
    bench.offer("b1", "bob", constraint=STRICT)
    assert bench.take(lanes=[ANY]) == "a1"
    assert bench.take(lanes=[STRICT]) == "b1"


def test_a_lane_that_no_replica_serves_holds_up_nobody():
    bench = Bench()
    bench.offer("pinned", constraint=STRICT)
    bench.offer("free")
    assert bench.take(lanes=[ANY]) == "free"
    assert bench.take(lanes=[ANY]) is None
    assert bench.queue.lanes() == [STRICT]


def test_after_eight_interactive_tasks_one_batch_task_goes():
    bench = Bench(capacity=50)
    for n in range(20):
        bench.offer(f"i{n}")
    for n in range(2):
        bench.offer(f"b{n}", priority=BATCH)
    order = bench.take_all()
    assert order.index("b0") == 8
    assert order.index("b1") == 17


def test_a_batch_task_that_has_waited_its_time_goes_next():
    bench = Bench(batch_max_wait_ms=30_000)
    bench.offer("night", priority=BATCH)
    bench.offer("day", enqueued_ms=29_000)
    bench.offer("dusk", enqueued_ms=29_000)
    assert bench.take(29_999) == "day"
    assert bench.take(30_000) == "night"


def test_a_backlog_of_old_batch_tasks_does_not_starve_the_interactive_ones():
    bench = Bench(batch_max_wait_ms=30_000)
    for n in range(3):
        bench.offer(f"b{n}", priority=BATCH)
    for n in range(4):
        bench.offer(f"i{n}", enqueued_ms=50_000)
    assert [bench.take(50_000), bench.take(50_000), bench.take(79_999)] == ["b0", "i0", "i1"]
    assert [bench.take(80_000), bench.take(80_000)] == ["b1", "i2"]


def test_a_full_queue_refuses_by_policy_reject():
    bench = Bench(capacity=1)
    bench.offer("a")
    assert bench.offer("b") == Refused(RefusedBecause.FULL)
    assert "b" not in bench.queue


def test_drop_lru_drops_the_oldest_of_the_lowest_priority():
    bench = Bench(capacity=3, policy=FullPolicy.DROP_LRU)
    bench.offer("day")
    bench.offer("old-night", priority=BATCH)
    bench.offer("night", priority=BATCH)

    def dropped(name, **given):
        return [task.task_id for task in bench.offer(name, **given).dropped]

    assert dropped("new-night", priority=BATCH) == ["old-night"]
    assert dropped("day-2") == ["night"]
    assert dropped("day-3") == ["new-night"]
    assert dropped("day-4") == ["day"]


def test_a_batch_task_never_drops_an_interactive_one():
    bench = Bench(capacity=1, policy=FullPolicy.DROP_LRU)
    bench.offer("day")
    assert bench.offer("night", priority=BATCH) == Refused(RefusedBecause.FULL)


def test_a_task_put_back_goes_first_keeps_its_number_and_is_never_dropped():
    bench = Bench(capacity=1, policy=FullPolicy.DROP_LRU)
    lost = bench.task("lost")
    bench.queue.offer(lost)
    bench.take()
    bench.offer("waiting")
    back = bench.queue.put_back(lost)
    assert back.number == lost.number
    assert len(bench.queue) == 2
    assert [task.task_id for task in bench.offer("newer").dropped] == ["waiting"]
    assert bench.take_all() == ["lost", "newer"]


def test_a_retry_that_wants_more_than_before_does_not_block_its_old_lane():
    bench = Bench()
    lost = bench.task("lost")
    bench.queue.offer(lost)
    bench.take()
    elsewhere = replace(ANY, avoid_pools=frozenset({PoolRef("n", "p")}))
    bench.queue.put_back(replace(lost, constraint=elsewhere))
    bench.offer("other")
    assert bench.take(lanes=[ANY]) == "other"
    assert bench.take(lanes=[elsewhere]) == "lost"


def test_the_time_a_task_was_away_is_not_waiting():
    bench = Bench(max_wait_ms=100)
    task = bench.task("lost")
    bench.queue.offer(task)
    bench.take(90)
    bench.queue.put_back(task, away_ms=1_000)
    assert bench.queue.next_expiry_ms() == 1_100
    assert bench.queue.expire(1_099) == []
    assert [gone.cause for gone in bench.queue.expire(1_100)] == [ExpiredBecause.MAX_WAIT]


def test_no_identity_holds_more_than_half_while_others_wait():
    bench = Bench(capacity=4)
    bench.offer("b", "bob")
    bench.offer("a1", "ada")
    bench.offer("a2", "ada")
    assert bench.offer("a3", "ada") == Refused(RefusedBecause.IDENTITY_SHARE)
    bench.queue.cancel("b")
    assert bench.offer("a4", "ada") == Admitted(2)


def test_a_task_passes_through_only_where_nothing_waits_and_it_would_be_taken():
    budget = ByteBudget(100)
    bench = Bench(byte_budget=budget)
    queue = bench.queue
    assert queue.pass_through(1, INTERACTIVE, 100, 0)
    assert not queue.pass_through(1, INTERACTIVE, 0, 0), "numbers rise"
    assert not queue.pass_through(2, INTERACTIVE, 101, 0), "too many bytes"
    Bench(byte_budget=budget).offer("of another model", size_bytes=70)
    assert not queue.pass_through(2, INTERACTIVE, 31, 0), "bytes are shared"
    assert queue.pass_through(2, INTERACTIVE, 30, 0)
    queue.offer(bench.task("waits", number=3))
    assert not queue.pass_through(4, INTERACTIVE, 0, 0), "behind who waits"
    assert not Bench(capacity=0).queue.pass_through(1, INTERACTIVE, 0, 0), "nothing may wait"


def test_tasks_that_pass_through_count_for_the_turn_of_batch():
    bench = Bench(interactive_run=2)
    for number in (1, 2):
        assert bench.queue.pass_through(number, INTERACTIVE, 0, 0)
    bench.offer("day", number=3)
    bench.offer("night", priority=BATCH, number=4)
    assert bench.take_all() == ["night", "day"]


def test_bytes_are_shared_by_all_queues_of_a_process():
    budget = ByteBudget(100)
    one, two = Bench(byte_budget=budget), Bench(byte_budget=budget)
    one.offer("big", size_bytes=70)
    assert two.offer("medium", size_bytes=40) == Refused(RefusedBecause.BYTES)
    one.queue.cancel("big")
    assert two.offer("medium-2", size_bytes=40) == Admitted(0)
    assert budget.used_bytes == 40


def test_drop_lru_drops_as_many_as_the_bytes_need_and_none_in_vain():
    bench = Bench(policy=FullPolicy.DROP_LRU, byte_budget=ByteBudget(100))
    for name in ("a", "b", "c"):
        bench.offer(name, size_bytes=30)
    assert [task.task_id for task in bench.offer("d", size_bytes=60).dropped] == ["a", "b"]
    assert bench.offer("e", size_bytes=101) == Refused(RefusedBecause.BYTES)
    assert len(bench.queue) == 2


def test_a_deadline_passes_before_the_longest_wait():
    bench = Bench(max_wait_ms=100)
    bench.offer("patient")
    hasty = bench.task("hasty", deadline_ms=50)
    bench.queue.offer(hasty)
    assert bench.queue.next_expiry_ms() == 50
    assert bench.queue.expire(50) == [Expired(hasty, ExpiredBecause.DEADLINE)]
    assert bench.queue.next_expiry_ms() == 100


def test_deadlines_of_tasks_that_left_do_not_pile_up():
    bench = Bench(capacity=10)
    for n in range(5_000):
        bench.offer(f"t{n}", deadline_ms=10**6 + n)
        bench.queue.cancel(f"t{n}")
    assert len(bench.queue._deadlines) < 1_100
    assert bench.queue.next_expiry_ms() is None


def test_identities_that_come_and_go_leave_nothing_behind():
    bench = Bench(capacity=10)
    bench.offer("first", "first")
    for n in range(1_000):
        bench.offer(f"t{n}", f"visitor-{n}")
        bench.queue.cancel(f"t{n}")
        bench.queue.check_invariants()
    (lane,) = bench.queue._lanes.values()
    assert len(lane.interactive._fifos) < 100


def test_a_lane_can_be_ended_as_a_whole():
    bench = Bench()
    bench.offer("a", constraint=STRICT)
    bench.offer("b", priority=BATCH, constraint=STRICT)
    bench.offer("c")
    assert [task.task_id for task in bench.queue.cancel_lane(STRICT)] == ["a", "b"]
    assert bench.take_all() == ["c"]


def test_an_id_twice_or_a_number_out_of_order_is_a_broken_contract():
    bench = Bench()
    early, late = bench.task("early"), bench.task("late")
    bench.queue.offer(late)
    with pytest.raises(AdmissionOrder):
        bench.queue.offer(early)
    with pytest.raises(DuplicateTask):
        bench.offer("late")
    with pytest.raises(DuplicateTask):
        bench.queue.put_back(late)


def test_depth_counts_a_priority_and_an_unknown_task_has_no_position():
    bench = Bench()
    bench.offer("a", priority=BATCH)
    assert (bench.queue.depth(BATCH), bench.queue.depth(INTERACTIVE)) == (1, 0)
    assert bench.queue.position("nobody") is None
    assert bench.queue.get("a").priority is BATCH
