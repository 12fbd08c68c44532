"""The longest that an attempt may run: one timer for all those that have the same limit."""

import asyncio
from collections.abc import Callable
from time import perf_counter

from admission_coordinator import errors
from admission_coordinator.task import Task
from api_types import ApiError


class WallLimit:
    """Stops the tasks that have run for too long.

    All have the same limit, so they are due in the order of their beginning, and a task that is
    over in time has cost no timer.
    """

    __slots__ = ("_due_s", "_limit_ms", "_stop", "_timer")

    def __init__(self, limit_ms: int, *, stop: Callable[[Task, ApiError], None]) -> None:
        self._limit_ms = limit_ms
        self._stop = stop
        self._due_s: dict[Task, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, task: Task, began_s: float) -> None:
        """Limit a task that has begun at this time of `perf_counter`."""
        due_s = self._due_s[task] = began_s + self._limit_ms / 1000
        if self._timer is None:
            self._look_in(due_s - perf_counter())

    def forget(self, task: Task) -> None:
        """Let a task be that is over."""
        self._due_s.pop(task, None)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._look)

    def _look(self) -> None:
        self._timer = None
        now_s = perf_counter()
        for task, due_s in tuple(self._due_s.items()):
            if due_s > now_s:
                self._look_in(due_s - now_s)
                return
            del self._due_s[task]
            self._stop(task, errors.wall_limit(self._limit_ms))
