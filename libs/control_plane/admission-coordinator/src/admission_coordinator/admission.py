"""Who gets in: everything that may refuse a request, asked before anything is changed."""

from itertools import count

from admission_coordinator import errors
from admission_coordinator.ending import StreamEnds
from admission_coordinator.ids import new_task_id
from admission_coordinator.log import EventLog
from admission_coordinator.placing import (
    any_replica_of,
    constraint_of,
    goes_anywhere,
    preferences_of,
    refusal_of,
)
from admission_coordinator.ports import ModelDirectory, NowMs
from admission_coordinator.resuming import check_resumable
from admission_coordinator.scoring import work_of
from admission_coordinator.sessions import SessionTable
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.table import TaskTable
from admission_coordinator.task import Task
from admission_coordinator.waiting import ModelLine, WaitingRoom, as_queued
from api_types import ApiError, ErrorCode, PlacementMode, TaskRequest
from multi_node_placement import ClusterView
from orchestrator_core import ANYWHERE, Refused, When


class Admission:
    """Turns a request into a waiting task."""

    def __init__(
        self,
        settings: CoordinatorSettings,
        *,
        cluster: ClusterView,
        models: ModelDirectory,
        room: WaitingRoom,
        sessions: SessionTable,
        table: TaskTable,
        ends: StreamEnds,
        now_ms: NowMs,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._models = models
        self._room = room
        self._sessions = sessions
        self._table = table
        self._ends = ends
        self._now_ms = now_ms
        self._numbers = count(1)

    def admit(
        self,
        request: TaskRequest,
        identity: str,
        correlation_id: str,
        size_bytes: int,
        traceparent: str | None,
    ) -> Task:
        """Return a task that may wait or start; raises `ApiError` and then leaves no trace."""
        check_resumable(request)
        if request.placement.mode is PlacementMode.PIN and not self._settings.allow_pinning:
            raise ApiError(ErrorCode.FORBIDDEN, "pinning is switched off here (ORCHD_PINNING=deny)")
        now_ms = self._now_ms()
        model = self._models.resolve(request.model_ref)
        _check_context(request, model.model_id, model.ctx_max)
        anywhere = goes_anywhere(request)
        if anywhere:
            constraint = any_replica_of(model.model_id)
        else:
            constraint = constraint_of(request, model.model_id, self._cluster)
        servable = self._cluster.could_serve(constraint)
        if servable.when is When.NEVER:
            raise refusal_of(servable, request, constraint, self._cluster)
        task = Task(
            task_id=new_task_id() if request.task_id is None else str(request.task_id),
            number=next(self._numbers),
            identity=identity,
            correlation_id=correlation_id,
            traceparent=traceparent,
            request=request,
            model_id=model.model_id,
            log=EventLog(max_bytes=self._settings.event_log_max_bytes),
            constraint=constraint,
            preferences=ANYWHERE if anywhere else preferences_of(request, self._cluster),
            size_bytes=size_bytes,
            created_ms=now_ms,
            deadline_at_ms=None if request.deadline_ms is None else now_ms + request.deadline_ms,
            kv_bytes_per_token=model.kv_bytes_per_token,
        )
        if request.deadline_ms is not None and servable.when is When.NOW:
            self._check_deadline(task, request.deadline_ms)
        if request.session_id is not None:
            task.session_key = task.affinity_key
            task.turn = self._sessions.begin_turn(
                identity,
                request.session_id,
                expected_tokens=request.max_tokens or 0,
                price_per_1k=self._settings.price_per_1k_tokens.get(model.model_id),
                now_ms=now_ms,
            )
        return task

    def enqueue(self, task: Task, line: ModelLine) -> None:
        """Give an admitted task its place; raises `ApiError` and then leaves no trace of it."""
        now_ms = task.created_ms
        task.queued = as_queued(task)
        admission = line.queue.offer(task.queued)
        if isinstance(admission, Refused):
            if task.turn is not None:
                self._sessions.take_back(task.turn)
            raise self._room.refusal(admission, line, now_ms)
        if self._cluster.scores and task.work is None:
            task.work = work_of(task)
        task.told_position = admission.position + 1
        line.moved = True
        for victim in admission.dropped:
            loser = self._table.find(victim.task_id)
            if loser is not None:
                self._ends.fail(loser, self._room.dropped(line, now_ms))

    def _check_deadline(self, task: Task, deadline_ms: int) -> None:
        line = self._room.line(task.model_id)
        slots = self._cluster.slots_for(task.constraint)
        if not line.deadline_feasible(task, slots, task.created_ms):
            raise errors.deadline_out_of_reach(deadline_ms)


def _check_context(request: TaskRequest, model_id: str, ctx_max: int | None) -> None:
    for name, value in (("ctx", request.ctx), ("max_tokens", request.max_tokens)):
        if value is not None and ctx_max is not None and value > ctx_max:
            raise ApiError(
                ErrorCode.INVALID_PARAMS,
                f"{name} {value} is larger than the context of {ctx_max} tokens that model "
                f"{model_id} is served with",
                hint=f"give at most {ctx_max}, prompt included",
            )
