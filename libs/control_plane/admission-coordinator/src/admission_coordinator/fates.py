"""What an attempt that is over means for its task: an end, or another attempt."""

from collections.abc import Callable

from adapter_api import AdapterError, EngineFinish, Fault
from admission_coordinator import errors
from admission_coordinator.ending import StreamEnds
from admission_coordinator.machine import Move
from admission_coordinator.resuming import carry
from admission_coordinator.scoring import measured, work_of
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.task import Task
from admission_coordinator.waiting import ModelLine
from api_types import ApiError, ErrorCode, OnWorkerLoss, TaskState
from multi_node_placement import ClusterView, Reservation


class Fates:
    """Decides it; `put_back` is what becomes of a task that may be tried again."""

    def __init__(
        self,
        settings: CoordinatorSettings,
        *,
        cluster: ClusterView,
        ends: StreamEnds,
        put_back: Callable[[Task, str], None],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._ends = ends
        self._put_back = put_back

    def finished(
        self, task: Task, finish: EngineFinish, line: ModelLine, reservation: Reservation
    ) -> None:
        """The engine has given its whole answer."""
        carried = task.carried_tokens
        task.finish_reason = finish.finish_reason
        # A resumed attempt was given the carried text with its prompt.
        task.tokens_in = max(0, finish.tokens_in - carried) if carried else finish.tokens_in
        task.tokens_out = finish.tokens_out + carried
        task.tokens_cached = finish.tokens_cached
        task.seed = finish.seed
        if task.state is not TaskState.RUNNING:
            self.stopped(task)
            return
        self._ends.finish(task)
        began_ms, ended_ms = task.dispatched_ms or 0, task.ended_ms or 0
        line.times.record(
            first_token_ms=(task.first_token_at_ms or ended_ms) - began_ms,
            total_ms=ended_ms - began_ms,
            tokens=finish.tokens_out,
        )
        took = None if task.work is None else measured(task, finish)
        if took is not None:
            work = work_of(task, answer="".join(task.pieces))
            self._cluster.finished(reservation, work, took)

    def failed(self, task: Task, error: AdapterError, reservation: Reservation) -> None:
        """The engine has not, for a reason that its adapter tells."""
        told = errors.told(error, engine=task.engine, pool_id=task.pool_id)
        if task.state is not TaskState.RUNNING:
            self.stopped(task)
        elif not errors.may_try_again(error):
            self._ends.fail(task, told)
        elif error.fault is not Fault.WORKER:
            self._put_back(task, error.code)
        else:
            self._lost(task, told, reservation)

    def crashed(self, task: Task, error: Exception) -> None:
        """A bug of ours ended it."""
        task.crash = error
        self._ends.fail(task, errors.internal())

    def stopped(self, task: Task) -> None:
        """It was cancelled: by a stop, an eviction, or with the whole coordinator."""
        if task.state is TaskState.RUNNING and task.evicted:
            task.evicted = False
            if task.first_token_at_ms is None:
                self._put_back(task, ErrorCode.POOL_DRAINING.value)
            else:
                self._ends.fail(task, errors.drained(task.pool_id))
            return
        if task.state is TaskState.RUNNING:
            task.stop_error = errors.shutting_down()
            task.move(Move.STOP)
        self._ends.fail(task, task.stop_error or errors.canceled())

    def _lost(self, task: Task, told: ApiError, reservation: Reservation) -> None:
        """Try again if the client need not know, or has asked for it; within the budget."""
        task.lost += 1
        task.tried.add(reservation.key)
        unseen = task.first_token_at_ms is None
        wish = task.request.on_worker_loss
        if not unseen and wish is OnWorkerLoss.FAIL:
            self._ends.fail(task, told)
        elif task.lost >= self._settings.retry_budget:
            self._ends.fail(task, errors.exhausted(task.lost, told) if unseen else told)
        elif unseen:
            self._put_back(task, told.code)
        elif wish is OnWorkerLoss.RESUME:
            carry(task, self._cluster.get(reservation.key))
            self._put_back(task, told.code)
        else:
            self._put_back(task, told.code)
            self._begin_again(task)

    def _begin_again(self, task: Task) -> None:
        """Show the client a new attempt: the text so far is void."""
        task.pieces.clear()
        task.token_index = 0
        task.first_token_at_ms = None
        self._ends.begin(task, 1, 0)
