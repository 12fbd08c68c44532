"""The owner of all tasks: it admits them, binds them to replicas, and ends each exactly once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from admission_coordinator import errors
from admission_coordinator.admission import Admission
from admission_coordinator.demand import DemandTeller
from admission_coordinator.dispatcher import Dispatcher
from admission_coordinator.ending import StreamEnds
from admission_coordinator.frames import Dialect, native, native_verbose
from admission_coordinator.log import Cursor
from admission_coordinator.ports import (
    DemandSink,
    ModelDirectory,
    NowMs,
    Replicas,
    TaskObserver,
)
from admission_coordinator.preparing import steps_for
from admission_coordinator.sessions import SessionTable, Turn
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.submission import Submission
from admission_coordinator.table import TaskTable
from admission_coordinator.task import Task
from admission_coordinator.waiting import WaitingRoom
from api_types import (
    ApiError,
    ErrorCode,
    OnDisconnect,
    PreparationStep,
    SessionView,
    TaskList,
    TaskRequest,
    TaskState,
    TaskStatus,
)
from multi_node_placement import ClusterView
from orchestrator_core import When


class AdmissionCoordinator:
    """The single writer of queue and tasks.

    Its calls do not await: between looking and deciding nothing else runs.
    """

    def __init__(
        self,
        settings: CoordinatorSettings,
        *,
        cluster: ClusterView,
        replicas: Replicas,
        models: ModelDirectory,
        observer: TaskObserver,
        now_ms: NowMs,
        group: asyncio.TaskGroup,
        demand: DemandSink | None = None,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._models = models
        self._observer = observer
        self._now_ms = now_ms
        self._closing = False
        self._room = WaitingRoom(settings)
        self._table = TaskTable(
            retention_ms=settings.task_retention_ms,
            retained_max_bytes=settings.retained_max_bytes,
        )
        self._sessions = SessionTable(settings.sessions)
        self._ends = StreamEnds(
            sessions=self._sessions, table=self._table, observer=observer, now_ms=now_ms
        )
        self._admission = Admission(
            settings,
            cluster=cluster,
            models=models,
            room=self._room,
            sessions=self._sessions,
            table=self._table,
            ends=self._ends,
            now_ms=now_ms,
        )
        self._demand = DemandTeller(cluster=cluster, room=self._room, sink=demand, now_ms=now_ms)
        self._dispatcher = Dispatcher(
            settings,
            cluster=cluster,
            models=models,
            replicas=replicas,
            observer=observer,
            now_ms=now_ms,
            room=self._room,
            sessions=self._sessions,
            table=self._table,
            ends=self._ends,
            group=group,
            demand=self._demand,
        )

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        settings: CoordinatorSettings,
        *,
        cluster: ClusterView,
        replicas: Replicas,
        models: ModelDirectory,
        observer: TaskObserver,
        now_ms: NowMs,
        demand: DemandSink | None = None,
    ) -> AsyncIterator["AdmissionCoordinator"]:
        """Run a coordinator; leaving the block ends every task that is left.

        It listens to the cluster view for free slots; every report to the view should be
        followed by `cluster_changed`. `demand` is told what tasks wait for where pools load that.
        """
        async with asyncio.TaskGroup() as group:
            coordinator = cls(
                settings,
                cluster=cluster,
                replicas=replicas,
                models=models,
                observer=observer,
                now_ms=now_ms,
                group=group,
                demand=demand,
            )
            cluster.listen(coordinator._dispatcher.slot_freed)
            ticker = group.create_task(coordinator._dispatcher.tick_for_ever(), name="task ticker")
            try:
                yield coordinator
            finally:
                ticker.cancel()
                coordinator._demand.stop()
                await coordinator.shut_down(grace_ms=0)

    # admission

    def submit(
        self,
        request: TaskRequest,
        *,
        identity: str,
        correlation_id: str,
        size_bytes: int,
        traceparent: str | None = None,
    ) -> Submission:
        """Admit a task, or answer for the one with this id as before.

        Raises `ApiError`; a refused request leaves nothing behind.
        """
        if request.task_id is not None:
            repeated = self._repeat(request, str(request.task_id), identity)
            if repeated is not None:
                return repeated
        try:
            if self._closing:
                raise errors.shutting_down()
            task = self._admission.admit(request, identity, correlation_id, size_bytes, traceparent)
            line = self._room.line(task.model_id)
            decision = self._dispatcher.place_at_once(task, line)
            if decision is None:
                self._admission.enqueue(task, line)
        except ApiError as error:
            self._observer.refused(error, model_id=request.model_ref, identity=identity)
            raise
        self._table.add(task)
        self._observer.admitted(task)
        if decision is None:
            self._dispatcher.pump(line)
        else:
            self._dispatcher.bind(task, line, decision, task.created_ms)
        self._dispatcher.wake_ticker()
        return self._started(task)

    def _started(self, task: Task) -> Submission:
        """Open the stream of a task that is new."""
        position, start_ms = 0, 0
        if task.state is TaskState.QUEUED:
            self._demand.note()
            position, start_ms = self.position(task)
        task.told_position = position
        task.predicted_start_ms = start_ms
        task.told_at_ms = task.created_ms
        self._ends.begin(task, position, start_ms)
        return self._submission(task, position, start_ms, repeated=False)

    def _repeat(self, request: TaskRequest, task_id: str, identity: str) -> Submission | None:
        known = self._table.find(task_id)
        if known is None:
            return None
        if known.identity != identity or known.request != request:
            raise ApiError(
                ErrorCode.TASK_CONFLICT,
                f"task_id {task_id} is taken by another request",
                hint="use a new task_id, or send the very same body again",
            )
        return self._submission(known, *self.position(known), repeated=True)

    def _submission(
        self, task: Task, position: int, start_ms: int, *, repeated: bool
    ) -> Submission:
        return Submission(
            task,
            position,
            start_ms,
            self._steps(task) if task.state is TaskState.QUEUED else (),
            repeated,
            {} if task.turn is None else self._budget_headers(task.turn),
        )

    def _steps(self, task: Task) -> tuple[PreparationStep, ...]:
        if not self._preparing(task):
            return ()
        return steps_for(task.model_id, self._cluster, self._models.fetching(task.model_id))

    def _budget_headers(self, turn: Turn) -> dict[str, str]:
        left = self._sessions.turn_budgets(turn)
        named = {
            "X-Budget-Tokens-Remaining": left.tokens_remaining,
            "X-Budget-Time-Remaining-Ms": left.time_remaining_ms,
            "X-Budget-Cost-Remaining": left.cost_remaining,
        }
        return {name: _plain(value) for name, value in named.items() if value is not None}

    # questions

    def position(self, task: Task) -> tuple[int, int]:
        """Return the queue position (0: running or over) and the predicted start in ms."""
        if task.state is not TaskState.QUEUED:
            return 0, 0
        line = self._room.line(task.model_id)
        before = line.queue.position(task.task_id)
        if before is None:
            return 0, 0
        slots = self._cluster.slots_for(task.constraint)
        return before + 1, line.predicted_start_ms(before, slots, self._now_ms())

    def status(self, task_id: str, *, identity: str) -> TaskStatus:
        """Return the state of one task; raises `TASK_NOT_FOUND`."""
        return self._status(self._table.get(task_id, identity))

    def _status(self, task: Task) -> TaskStatus:
        if task.state is not TaskState.QUEUED:
            return task.status()
        position, start_ms = self.position(task)
        return task.status(
            queue_position=position,
            predicted_start_ms=start_ms,
            preparing=self._preparing(task),
        )

    def _shown_state(self, task: Task) -> TaskState:
        return TaskState.PREPARING if self._preparing(task) else task.state

    def _preparing(self, task: Task) -> bool:
        return (
            task.state is TaskState.QUEUED
            and self._cluster.could_serve(task.constraint).when is When.LATER
        )

    def list_tasks(
        self, *, identity: str, state: TaskState | None, limit: int, cursor: str | None
    ) -> TaskList:
        """Return a page of tasks, newest first; `cursor` is the `next_cursor` of the last one."""
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20):
            raise ApiError(
                ErrorCode.INVALID_PARAMS, "cursor must be the next_cursor of an earlier answer"
            )
        found, more = self._table.page(
            identity,
            wanted=lambda task: state in (None, self._shown_state(task)),
            limit=limit,
            before=None if cursor is None else int(cursor),
        )
        return TaskList.model_construct(
            tasks=tuple(self._status(task) for task in found),
            next_cursor=None if more is None else str(more),
        )

    def queue_depth(self, model_id: str | None = None) -> int:
        """Count the waiting tasks of one model or of all."""
        return self._room.depth(model_id)

    # streams

    def open_stream(
        self,
        task_id: str,
        *,
        identity: str,
        last_event_id: int | None = None,
        verbose: bool = False,
        dialect: Dialect | None = None,
        one_request: bool = False,
    ) -> Cursor | None:
        """Return a cursor into a task's events; None when all of them lie before it.

        `dialect` replaces the native form of the frames. Raises `TASK_NOT_FOUND` and
        `EVENTS_EXPIRED`.
        """
        task = self._table.get(task_id, identity)
        grace_ms = 0 if one_request else self._settings.disconnect_grace_ms

        try:
            cursor = task.log.open(
                after_id=last_event_id or 0,
                dialect=dialect or (native_verbose if verbose else native),
                on_close=partial(self._reader_left, task, grace_ms),
            )
        except LookupError as error:
            raise ApiError(
                ErrorCode.EVENTS_EXPIRED,
                f"of task {task_id} {error}",
                hint="GET /v2/tasks/{id} still has the whole text",
            ) from None
        if cursor is not None and task.state is TaskState.QUEUED:
            self._dispatcher.watch(task)
        return cursor

    def _reader_left(self, task: Task, grace_ms: int) -> None:
        if task.request.on_disconnect is not OnDisconnect.CANCEL or task.log.subscribers:
            return
        if grace_ms:
            loop = asyncio.get_running_loop()
            loop.call_later(grace_ms / 1000, self._cancel_unread, task, task.log.opened)
        else:
            self._cancel_unread(task, task.log.opened)

    def _cancel_unread(self, task: Task, opened: int) -> None:
        """Cancel, unless somebody has come since: who reads now, or has left a grace of their own.

        That is known from how many readers there were when the last one left.
        """
        if not task.ended and task.log.opened == opened:
            self._dispatcher.stop(task, errors.canceled())

    # changes

    def cancel(self, task_id: str, *, identity: str) -> None:
        """Cancel a task wherever it stands; one that has ended stays as it is."""
        task = self._table.get(task_id, identity)
        if not task.ended:
            self._dispatcher.stop(task, errors.canceled())

    def cluster_changed(self) -> None:
        """End tasks that nothing will serve any more; to be called after every report."""
        self._dispatcher.end_orphans()
        self._demand.note()

    def session(self, session_id: str, *, identity: str) -> SessionView:
        """Return a session; raises `SESSION_NOT_FOUND`."""
        return self._sessions.view(identity, session_id, self._now_ms())

    def delete_session(self, session_id: str, *, identity: str) -> None:
        """Forget a session; its running turns go on. Raises `SESSION_NOT_FOUND`."""
        self._sessions.delete(identity, session_id, self._now_ms())
        self._cluster.forget_session(f"{identity}/{session_id}")

    async def shut_down(self, *, grace_ms: int) -> None:
        """Refuse new tasks, end the waiting ones, let running ones finish within the grace."""
        self._closing = True
        await self._dispatcher.shut_down(grace_ms=grace_ms)


def _plain(amount: float) -> str:
    """Write a number without an exponent."""
    return f"{amount:.6f}".rstrip("0").rstrip(".")
