"""The two orders a queue keeps: turns over the whole queue, and who stands where in a lane."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice
from operator import attrgetter

from api_types import Priority
from orchestrator_core.constraint import Constraint
from orchestrator_core.waiting import QueuedTask

_BY_NUMBER = attrgetter("number")


class Turns:
    """The tasks of one priority over all lanes: who waits, since when, whose turn is next.

    An identity has a turn while it waits: it joins behind all others and goes behind them again
    when it was served. Tasks put back stand before all turns and use none.
    """

    __slots__ = ("_lengths", "_next", "arrivals", "front", "held", "turn_of")

    def __init__(self) -> None:
        self.arrivals: OrderedDict[int, QueuedTask] = OrderedDict()
        """By admission number, without those put back."""
        self.front: dict[int, QueuedTask] = {}
        """Those put back, by admission number."""
        self.held: dict[str, int] = {}
        """How many arrivals an identity has."""
        self.turn_of: dict[str, int] = {}
        """Lower goes first; it only rises while the identity waits."""
        self._lengths: dict[int, int] = {}
        """How many identities have so many arrivals."""
        self._next = 1

    def __len__(self) -> int:
        return len(self.arrivals) + len(self.front)

    def add(self, task: QueuedTask) -> None:
        """Let a task wait."""
        if task.requeued:
            self.front[task.number] = task
            return
        self.arrivals[task.number] = task
        if task.identity not in self.turn_of:
            self._to_the_end(task.identity)
        self._resize(task.identity, 1)

    def remove(self, task: QueuedTask, *, served: bool) -> None:
        """Let a task go; if it was served, its identity has had its turn."""
        if task.requeued:
            del self.front[task.number]
            return
        del self.arrivals[task.number]
        self._resize(task.identity, -1)
        if task.identity not in self.held:
            del self.turn_of[task.identity]
        elif served:
            self._to_the_end(task.identity)

    def _to_the_end(self, identity: str) -> None:
        self.turn_of[identity] = self._next
        self._next += 1

    def _resize(self, identity: str, by: int) -> None:
        lengths = self._lengths
        old = self.held.get(identity, 0)
        new = old + by
        if old:
            if lengths[old] == 1:
                del lengths[old]
            else:
                lengths[old] -= 1
        if new:
            lengths[new] = lengths.get(new, 0) + 1
            self.held[identity] = new
        else:
            del self.held[identity]

    def before(self, own_ahead: int) -> int:
        """Count the tasks before one that has `own_ahead` of its own identity before it.

        In each round every identity sends one task, and all others are taken to go first. There
        are at most √(2n) different lengths among n tasks, so this is cheap.
        """
        if len(self.held) == 1:
            return len(self.front) + own_ahead
        rounds = own_ahead + 1
        sent = sum(min(length, rounds) * count for length, count in self._lengths.items())
        return len(self.front) + sent - 1

    def before_new(self, identity: str) -> int:
        """Count the tasks before one that this identity would add now."""
        rounds = self.held.get(identity, 0) + 1
        sent = sum(min(length, rounds) * count for length, count in self._lengths.items())
        return len(self.front) + sent

    def oldest(self) -> list[QueuedTask]:
        """Give those put back, and the arrival that waits longest: one of them is the oldest."""
        return [*self.front.values(), *islice(self.arrivals.values(), 1)]

    def in_order(self) -> Iterator[QueuedTask]:
        """Give every task as it would go if one replica served every lane."""
        yield from sorted(self.front.values(), key=_BY_NUMBER)
        own: dict[str, list[QueuedTask]] = {identity: [] for identity in self.held}
        for task in self.arrivals.values():
            own[task.identity].append(task)
        ring = OrderedDict(
            (identity, iter(own[identity]))
            for identity in sorted(own, key=self.turn_of.__getitem__)
        )
        while ring:
            for identity, tasks in list(ring.items()):
                task_or_none = next(tasks, None)
                if task_or_none is None:
                    del ring[identity]
                else:
                    yield task_or_none


class Line:
    """The tasks of one priority in one lane.

    `_turns` holds one entry for each identity in `_fifos`. A turn only rises, so an outdated
    entry is too low, comes up too early, and is then put right: nothing is ever searched for.
    """

    __slots__ = ("_fifos", "_front", "_turns", "_vacant")

    def __init__(self) -> None:
        self._fifos: dict[str, OrderedDict[int, QueuedTask]] = {}
        self._front: list[tuple[int, QueuedTask]] = []
        self._turns: list[tuple[int, str]] = []
        self._vacant = 0

    def add(self, task: QueuedTask, turn: int) -> None:
        """Append a task to its identity's; one put back goes to the front by its number."""
        if task.requeued:
            insort(self._front, (task.number, task), key=_first)
            return
        fifo = self._fifos.get(task.identity)
        if fifo is None:
            fifo = self._fifos[task.identity] = OrderedDict()
            heappush(self._turns, (turn, task.identity))
        elif not fifo:
            self._vacant -= 1
        fifo[task.number] = task

    def remove(self, task: QueuedTask) -> None:
        """Take a task out wherever it stands."""
        if task.requeued:
            del self._front[bisect_left(self._front, task.number, key=_first)]
            return
        fifo = self._fifos[task.identity]
        del fifo[task.number]
        if not fifo:
            self._vacant += 1
            if self._vacant > 32 and self._vacant * 2 > len(self._turns):
                self._forget_vacant()

    def _forget_vacant(self) -> None:
        self._turns = [entry for entry in self._turns if self._fifos[entry[1]]]
        heapify(self._turns)
        self._fifos = {identity: fifo for identity, fifo in self._fifos.items() if fifo}
        self._vacant = 0

    def head(self, turn_of: dict[str, int]) -> tuple[int, QueuedTask] | None:
        """Give the task that goes next in this lane with its turn; 0 for one put back."""
        if self._front:
            return 0, self._front[0][1]
        turns = self._turns
        while turns:
            turn, identity = turns[0]
            fifo = self._fifos[identity]
            if not fifo:
                heappop(turns)
                del self._fifos[identity]
                self._vacant -= 1
            elif turn != turn_of[identity]:
                heapreplace(turns, (turn_of[identity], identity))
            else:
                return turn, next(iter(fifo.values()))
        return None

    def ahead_of(self, task: QueuedTask) -> int:
        """Count the tasks of its identity in this lane with a lower number.

        Looks from both ends at once, since mostly the newest is asked for.
        """
        fifo = self._fifos.get(task.identity)
        if not fifo:
            return 0
        for passed, (oldest, newest) in enumerate(zip(fifo, reversed(fifo), strict=True)):
            if oldest >= task.number:
                return passed
            if newest < task.number:
                return len(fifo) - passed
        raise AssertionError("numbers are out of order")

    def oldest(self) -> Iterator[QueuedTask]:
        """Give those put back, and the first of each identity: one of them waits longest."""
        yield from (task for _, task in self._front)
        for fifo in self._fifos.values():
            yield from islice(fifo.values(), 1)

    def tasks(self) -> Iterator[QueuedTask]:
        """Give every task, in no order."""
        yield from (task for _, task in self._front)
        for fifo in self._fifos.values():
            yield from fifo.values()

    def check_invariants(self, turn_of: dict[str, int]) -> None:
        """Assert that entries and tasks agree."""
        assert sorted(identity for _, identity in self._turns) == sorted(self._fifos)
        assert self._vacant == sum(not fifo for fifo in self._fifos.values())
        for turn, identity in self._turns:
            fifo = self._fifos[identity]
            assert list(fifo) == sorted(fifo)
            assert not fifo or turn <= turn_of[identity]
        assert [number for number, _ in self._front] == sorted(n for n, _ in self._front)


def _first(entry: tuple[int, QueuedTask]) -> int:
    return entry[0]


class Lane:
    """The tasks of one constraint, in a line for each priority."""

    __slots__ = ("batch", "constraint", "interactive", "length")

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint
        self.interactive = Line()
        self.batch = Line()
        self.length = 0

    def line(self, priority: Priority) -> Line:
        """Give the line of a priority."""
        return self.batch if priority is Priority.BATCH else self.interactive
