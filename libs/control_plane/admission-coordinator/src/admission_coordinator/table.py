"""All tasks of this process: by id, newest first, and for how long an ended one is kept."""

from collections import deque
from collections.abc import Callable, Iterator

from admission_coordinator.task import Task
from api_types import ApiError, ErrorCode

ADMIN = "admin"
"""The identity that sees everybody's tasks."""


class TaskTable:
    """Tasks in the order of their admission, with a bounded memory of ended ones."""

    def __init__(self, *, retention_ms: int, retained_max_bytes: int) -> None:
        self._tasks: dict[str, Task] = {}
        self._ended: deque[tuple[int, int, Task]] = deque()
        self._ended_bytes = 0
        self._retention_ms = retention_ms
        self._retained_max_bytes = retained_max_bytes

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def add(self, task: Task) -> None:
        """Enter an admitted task."""
        self._tasks[task.task_id] = task

    def find(self, task_id: str) -> Task | None:
        """Return a task whoever asks; for the coordinator itself."""
        return self._tasks.get(task_id)

    def get(self, task_id: str, identity: str) -> Task:
        """Return a task to its owner; raises `TASK_NOT_FOUND`, also for the tasks of others."""
        task = self._tasks.get(task_id)
        if task is None or identity not in (task.identity, ADMIN):
            raise ApiError(
                ErrorCode.TASK_NOT_FOUND,
                f"no task {task_id} is known here",
                hint="it may have been accepted by an earlier process, or ended longer ago than "
                "tasks are kept; submit it again",
            )
        return task

    def page(
        self, identity: str, *, wanted: Callable[[Task], bool], limit: int, before: int | None
    ) -> tuple[list[Task], int | None]:
        """Return up to `limit` tasks, newest first, and the number to go on before, if any."""
        found: list[Task] = []
        for task in reversed(self._tasks.values()):
            if before is not None and task.number >= before:
                continue
            if identity not in (task.identity, ADMIN) or not wanted(task):
                continue
            if len(found) == limit:
                return found, found[-1].number
            found.append(task)
        return found, None

    def retire(self, task: Task, now_ms: int) -> None:
        """Begin the retention of a task that has ended."""
        size = task.retained_bytes()
        self._ended.append((now_ms + self._retention_ms, size, task))
        self._ended_bytes += size
        self.sweep(now_ms)

    def sweep(self, now_ms: int) -> None:
        """Forget ended tasks that are too old, or too many in bytes."""
        while self._ended:
            expires_ms, size, task = self._ended[0]
            if expires_ms > now_ms and self._ended_bytes <= self._retained_max_bytes:
                return
            self._ended.popleft()
            self._ended_bytes -= size
            if self._tasks.get(task.task_id) is task:
                del self._tasks[task.task_id]
