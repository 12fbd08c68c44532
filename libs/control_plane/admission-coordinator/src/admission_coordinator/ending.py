"""The beginning and the one end of what a client sees of a task."""

from admission_coordinator.machine import Move
from admission_coordinator.ports import NowMs, TaskObserver
from admission_coordinator.sessions import SessionTable
from admission_coordinator.table import TaskTable
from admission_coordinator.task import Task
from api_types import ApiError, ErrorCode, TaskError


class StreamEnds:
    """Writes first and last frames, and settles every counter with the last one."""

    def __init__(
        self,
        *,
        sessions: SessionTable,
        table: TaskTable,
        observer: TaskObserver,
        now_ms: NowMs,
    ) -> None:
        self._sessions = sessions
        self._table = table
        self._observer = observer
        self._now_ms = now_ms

    def begin(self, task: Task, position: int, predicted_start_ms: int) -> None:
        """Open the stream of an attempt that the client sees."""
        task.attempts += 1
        task.log.append(
            "started",
            {
                "task_id": task.task_id,
                "attempt": task.attempts,
                "created_ms": task.created_ms,
                "correlation_id": task.correlation_id,
                "queue_position": position,
                "predicted_start_ms": predicted_start_ms,
                "pool_id": task.pool_id,
            },
        )

    def finish(self, task: Task) -> None:
        """End a task well."""
        self._end(task, Move.FINISH, None)

    def fail(self, task: Task, error: ApiError) -> None:
        """End a task with an error; a cancel is one that its client asked for."""
        canceled = error.code is ErrorCode.CANCELED
        self._end(task, Move.CANCEL if canceled else Move.FAIL, error)

    def _end(self, task: Task, move: Move, error: ApiError | None) -> None:
        task.move(move)
        task.ended_ms = self._now_ms()
        if error is None:
            task.log.finish("end", _end_data(task))
        else:
            task.error = TaskError(
                code=error.code.value,
                message=error.message,
                retriable=error.retriable,
                retry_after_ms=error.retry_after_ms,
                engine=error.engine,
                pool_id=error.pool_id or task.pool_id,
            )
            task.log.finish(
                "error", task.error.model_dump(exclude_none=True), skip=move is Move.CANCEL
            )
        if task.turn is not None:
            self._sessions.end_turn(
                task.turn,
                tokens_in=task.tokens_in or 0,
                tokens_out=task.tokens_out or task.token_index,
                tokens_cached=task.tokens_cached,
                kv_bytes=((task.tokens_in or 0) + (task.tokens_out or 0)) * task.kv_bytes_per_token,
                busy_ms=0 if task.dispatched_ms is None else task.ended_ms - task.dispatched_ms,
                now_ms=task.ended_ms,
            )
        self._observer.ended(task)
        self._table.retire(task, task.ended_ms)


def _end_data(task: Task) -> dict[str, object]:
    decode_ms = task.decode_time_ms or 0
    return {
        "tokens_in": task.tokens_in,
        "tokens_out": task.tokens_out,
        "decode_time_ms": decode_ms,
        "decode_ms": decode_ms,
        "queue_time_ms": task.queue_time_ms or 0,
        "first_token_ms": task.first_token_ms or 0,
        "finish_reason": task.finish_reason,
        "seed": task.seed,
        "pool_id": task.pool_id,
    }
