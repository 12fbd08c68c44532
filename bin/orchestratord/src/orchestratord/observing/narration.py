"""Tells what becomes of tasks: one line each, with a sentence for people."""

from admission_coordinator import Task
from api_types import ApiError
from narration_core import get_logger, parse_traceparent


class TaskNarrator:
    """A TaskObserver that logs; prompts and answers never come near it."""

    def __init__(self) -> None:
        self._log = get_logger(component="tasks")

    def admitted(self, task: Task) -> None:
        """Tell an admission."""
        position = task.told_position
        place = f"{position} before it" if position else "nobody before it"
        self._log.info(
            "task_admitted",
            **_fields(task),
            queue_position=position,
            human=f"A task for model {task.model_id} was admitted, {place} in the queue.",
        )

    def refused(self, error: ApiError, *, model_id: str | None, identity: str) -> None:
        """Tell a refusal; the request's own correlation id is in the context."""
        self._log.info(
            "task_refused",
            code=error.code,
            model_id=model_id,
            identity=identity,
            pool_id=error.pool_id,
            retry_after_ms=error.retry_after_ms,
            human=f"A task was refused ({error.code}).",
        )

    def dispatched(self, task: Task) -> None:
        """Tell a placement."""
        self._log.info(
            "task_dispatched",
            **_fields(task),
            queue_time_ms=task.queue_time_ms,
            human=f"The task runs on pool {task.pool_id} after {task.queue_time_ms} ms of waiting.",
        )

    def first_token(self, task: Task) -> None:
        """Tell that text began to flow."""
        self._log.info(
            "task_first_token",
            **_fields(task),
            first_token_ms=task.first_token_ms,
            human=f"The first token came after {task.first_token_ms} ms.",
        )

    def put_back(self, task: Task, cause: str) -> None:
        """Tell a lost attempt."""
        self._log.warning(
            "task_put_back",
            **_fields(task),
            code=cause,
            human=f"An attempt was lost ({cause}); the task waits for another replica.",
        )

    def ended(self, task: Task) -> None:
        """Tell an end, whatever it was."""
        fields = _fields(task) | {
            "state": task.state,
            "queue_time_ms": task.queue_time_ms,
            "first_token_ms": task.first_token_ms,
            "decode_time_ms": task.decode_time_ms,
            "tokens_in": task.tokens_in,
            "tokens_out": task.tokens_out,
        }
        if task.crash is not None:
            human = "The task failed because of a mistake of ours."
            self._log.error("task_crashed", **fields, human=human, exc_info=task.crash)
        elif task.error is not None:
            human = f"The task ended without its result ({task.error.code})."
            self._log.info("task_ended", **fields, code=task.error.code, human=human)
        else:
            human = f"The task finished with {task.tokens_out} tokens in {task.decode_time_ms} ms."
            self._log.info("task_ended", **fields, finish_reason=task.finish_reason, human=human)


def _fields(task: Task) -> dict[str, object]:
    """Return what every line of a task carries."""
    trace = parse_traceparent(task.traceparent)
    fields: dict[str, object] = {
        "task_id": task.task_id,
        "correlation_id": task.correlation_id,
        "identity": task.identity,
        "session_id": task.request.session_id,
        "model_id": task.model_id,
        "pool_id": task.pool_id,
        "replica_id": task.replica_id,
        "engine": task.engine,
        "attempt": task.attempts,
    }
    if trace is not None:
        fields["trace_id"] = trace.trace_id
    return fields
