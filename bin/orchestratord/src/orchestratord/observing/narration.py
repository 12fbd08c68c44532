"""Tells what becomes of tasks: one line each, with a sentence for people."""

from admission_coordinator import Task
from api_types import ApiError
from narration_core import Story, Subject, Wording, get_logger, parse_traceparent

_COMPONENT = "tasks"

_SHARED = ("component", "identity", "session_id", "model_id")
_TASK = Subject(own=("correlation_id", "task_id"), shared=_SHARED)
_TRACED_TASK = Subject(own=("correlation_id", "trace_id", "task_id"), shared=_SHARED)

_WHERE = ("pool_id", "replica_id", "engine", "engine_version")
_ADMITTED = Wording(
    "info",
    "task_admitted",
    "A task for model {_model_id} was admitted, nobody before it in the queue.",
    texts=(*_WHERE, "_model_id"),
    numbers=("attempt", "queue_position"),
)
_ADMITTED_BEHIND = Wording(
    "info",
    "task_admitted",
    "A task for model {_model_id} was admitted, {_before} before it in the queue.",
    texts=(*_WHERE, "_model_id"),
    numbers=("attempt", "queue_position", "_before"),
)
_DISPATCHED = Wording(
    "info",
    "task_dispatched",
    "The task runs on pool {pool_id} after {queue_time_ms} ms of waiting.",
    texts=_WHERE,
    numbers=("attempt", "queue_position", "predicted_start_ms", "queue_time_ms"),
)
_FIRST_TOKEN = Wording(
    "info",
    "task_first_token",
    "The first token came after {first_token_ms} ms.",
    texts=_WHERE,
    numbers=("attempt", "first_token_ms"),
)
_PUT_BACK = Wording(
    "warning",
    "task_put_back",
    "An attempt was lost ({code}); the task waits for another replica.",
    texts=(*_WHERE, "code"),
    numbers=("attempt",),
)
_END_NUMBERS = (
    *("attempt", "queue_time_ms", "first_token_ms", "decode_time_ms"),
    *("tokens_in", "tokens_out"),
)
_FINISHED = Wording(
    "info",
    "task_ended",
    "The task finished with {tokens_out} tokens in {decode_time_ms} ms.",
    texts=(*_WHERE, "state", "finish_reason"),
    numbers=_END_NUMBERS,
)
_FAILED = Wording(
    "info",
    "task_ended",
    "The task ended without its result ({code}).",
    texts=(*_WHERE, "state", "code"),
    numbers=_END_NUMBERS,
)
_CRASHED = Wording(
    "error",
    "task_crashed",
    "The task failed because of a mistake of ours.",
    texts=(*_WHERE, "state"),
    numbers=_END_NUMBERS,
)


class TaskNarrator:
    """A TaskObserver that logs; prompts and answers never come near it."""

    def __init__(self) -> None:
        self._log = get_logger(component=_COMPONENT)
        self._stories: dict[str, Story] = {}
        """Of the tasks that were admitted and have not ended."""

    def admitted(self, task: Task) -> None:
        """Tell an admission."""
        shared = (_COMPONENT, task.identity, task.request.session_id, task.model_id)
        trace = None if task.traceparent is None else parse_traceparent(task.traceparent)
        if trace is None:
            story = Story(_TASK, (task.correlation_id, task.task_id), shared)
        else:
            own = (task.correlation_id, trace.trace_id, task.task_id)
            story = Story(_TRACED_TASK, own, shared)
        self._stories[task.task_id] = story
        where = (task.pool_id, task.replica_id, task.engine, task.engine_version, task.model_id)
        attempt, position = task.attempts or 1, task.told_position
        if position > 1:
            story.tell(_ADMITTED_BEHIND, where, (attempt, position, position - 1))
        else:
            story.tell(_ADMITTED, where, (attempt, position))

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
        self._stories[task.task_id].tell(
            _DISPATCHED,
            (task.pool_id, task.replica_id, task.engine, task.engine_version),
            (task.attempts or 1, 0, task.predicted_start_ms, task.queue_time_ms),
        )

    def first_token(self, task: Task) -> None:
        """Tell that text began to flow."""
        self._stories[task.task_id].tell(
            _FIRST_TOKEN,
            (task.pool_id, task.replica_id, task.engine, task.engine_version),
            (task.attempts or 1, task.first_token_ms),
        )

    def put_back(self, task: Task, cause: str) -> None:
        """Tell a lost attempt."""
        self._stories[task.task_id].tell(
            _PUT_BACK,
            (task.pool_id, task.replica_id, task.engine, task.engine_version, cause),
            (task.attempts or 1,),
        )

    def ended(self, task: Task) -> None:
        """Tell an end, whatever it was."""
        story = self._stories[task.task_id]
        del self._stories[task.task_id]
        where = (task.pool_id, task.replica_id, task.engine, task.engine_version, task.state)
        numbers = (
            task.attempts or 1,
            task.queue_time_ms,
            task.first_token_ms,
            task.decode_time_ms,
            task.tokens_in,
            task.tokens_out,
        )
        if task.crash is not None:
            story.tell(_CRASHED, where, numbers, error=task.crash)
        elif task.error is not None:
            story.tell(_FAILED, (*where, task.error.code), numbers)
        else:
            story.tell(_FINISHED, (*where, task.finish_reason), numbers)
