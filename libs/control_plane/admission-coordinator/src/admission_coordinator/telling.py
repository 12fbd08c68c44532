"""Tells the readers of waiting tasks how their place in the queue changes."""

from collections.abc import Iterator

from admission_coordinator.ports import ModelDirectory
from admission_coordinator.preparing import prep_of, steps_for
from admission_coordinator.sessions import SessionTable
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.table import TaskTable
from admission_coordinator.task import Task
from admission_coordinator.waiting import ModelLine, WaitingRoom
from api_types import TaskState
from multi_node_placement import ClusterView

TOLD_AT_ONCE = 100
"""How many readers are told before others have their turn."""


class PositionTeller:
    """Writes `metrics` frames, only for tasks that somebody reads."""

    def __init__(
        self,
        settings: CoordinatorSettings,
        *,
        cluster: ClusterView,
        models: ModelDirectory,
        room: WaitingRoom,
        table: TaskTable,
        sessions: SessionTable,
    ) -> None:
        self._interval_ms = settings.metrics_interval_ms
        self._cluster = cluster
        self._models = models
        self._room = room
        self._table = table
        self._sessions = sessions
        self._watched: dict[str, set[str]] = {}
        """Model id → ids of waiting tasks that have, or had, a reader."""

    def watch(self, task: Task) -> None:
        """Tell the readers of this task from now on."""
        self._watched.setdefault(task.model_id, set()).add(task.task_id)

    def tell(self, now_ms: int) -> Iterator[None]:
        """Write a frame where a position has changed, or where the last one is too old.

        Stops now and then; what changes meanwhile is told the next time.
        """
        for line in tuple(self._room):
            watched = self._watched.get(line.model_id)
            if watched:
                yield from self._tell_line(line, watched, now_ms)

    def _tell_line(self, line: ModelLine, watched: set[str], now_ms: int) -> Iterator[None]:
        for task_id in list(watched):
            task = self._table.find(task_id)
            if task is None or task.state is not TaskState.QUEUED or not task.log.subscribers:
                watched.discard(task_id)
        prep = prep_of(
            steps_for(line.model_id, self._cluster, self._models.fetching(line.model_id))
        )
        progressed, line.told_prep = prep != line.told_prep, prep
        due = [
            task
            for task_id in watched
            if (task := self._table.find(task_id)) is not None
            and (line.moved or progressed or now_ms - task.told_at_ms >= self._interval_ms)
        ]
        line.moved = False
        if not due:
            return
        due_ids = {task.task_id: task for task in due}
        # All at once: the queue must not change under the walk.
        places = [
            (due_ids[item.task_id], before)
            for item, before in line.queue.positions()
            if item.task_id in due_ids
        ]
        for number, (task, before) in enumerate(places, start=1):
            if task.state is TaskState.QUEUED:
                self._tell_task(task, line, before, now_ms, progressed=progressed)
            if number % TOLD_AT_ONCE == 0:
                yield

    def _tell_task(
        self, task: Task, line: ModelLine, before: int, now_ms: int, *, progressed: bool
    ) -> None:
        position = before + 1
        overdue = now_ms - task.told_at_ms >= self._interval_ms
        if position == task.told_position and not overdue and not progressed:
            return
        task.told_position = position
        task.told_at_ms = now_ms
        slots = self._cluster.slots_for(task.constraint)
        start_ms = line.predicted_start_ms(before, slots, now_ms)
        task.log.append_metrics(
            {
                "queue_depth": len(line.queue),
                "queue_position": position,
                "predicted_start_ms": start_ms,
                "on_time_probability": line.on_time(task, before, slots, now_ms),
                "prep": line.told_prep,
                **self._session(task),
            },
            human=f"number {position} of {len(line.queue)} waiting"
            + (f", starts in about {start_ms / 1000:.1f} s" if start_ms else ""),
        )

    def _session(self, task: Task) -> dict[str, float | None]:
        if task.turn is None:
            return {}
        left = self._sessions.turn_budgets(task.turn)
        return {
            "kv_warmth": self._cluster.kv_warmth(task.affinity_key),
            "tokens_budget_remaining": left.tokens_remaining,
            "time_budget_remaining_ms": left.time_remaining_ms,
            "cost_budget_remaining": left.cost_remaining,
        }
