"""Tells what becomes of tasks: one line each, with a sentence for people."""

from collections.abc import Mapping
from typing import TypedDict

from admission_coordinator import Task
from api_types import ApiError
from narration_core import NUMBER, Story, get_logger, parse_traceparent

_COMPONENT = "tasks"


class _Figures(TypedDict):
    state: str
    queue_time_ms: int | None
    first_token_ms: int | None
    decode_time_ms: int | None
    tokens_in: int | None
    tokens_out: int | None


class TaskNarrator:
    """A TaskObserver that logs; prompts and answers never come near it."""

    def __init__(self) -> None:
        self._log = get_logger(component=_COMPONENT)
        self._stories: dict[str, Story] = {}

    def admitted(self, task: Task) -> None:
        """Tell an admission."""
        position = task.told_position
        place = f"{NUMBER} before it" if position > 1 else "nobody before it"
        self._story(task).tell(
            "info",
            "task_admitted",
            queue_position=position,
            human=f"A task for model {task.model_id} was admitted, {place} in the queue.",
            numbers=(position - 1,) if position > 1 else (),
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
        self._story(task).tell(
            "info",
            "task_dispatched",
            queue_position=0,
            predicted_start_ms=task.predicted_start_ms,
            queue_time_ms=task.queue_time_ms,
            human=f"The task runs on pool {task.pool_id} after {NUMBER} ms of waiting.",
            numbers=(task.queue_time_ms,),
        )

    def first_token(self, task: Task) -> None:
        """Tell that text began to flow."""
        self._story(task).tell(
            "info",
            "task_first_token",
            first_token_ms=task.first_token_ms,
            human=f"The first token came after {NUMBER} ms.",
            numbers=(task.first_token_ms,),
        )

    def put_back(self, task: Task, cause: str) -> None:
        """Tell a lost attempt."""
        self._story(task).tell(
            "warning",
            "task_put_back",
            code=cause,
            human=f"An attempt was lost ({cause}); the task waits for another replica.",
        )

    def ended(self, task: Task) -> None:
        """Tell an end, whatever it was."""
        story = self._story(task)
        del self._stories[task.task_id]
        fields = _Figures(
            state=task.state,
            queue_time_ms=task.queue_time_ms,
            first_token_ms=task.first_token_ms,
            decode_time_ms=task.decode_time_ms,
            tokens_in=task.tokens_in,
            tokens_out=task.tokens_out,
        )
        if task.crash is not None:
            human = "The task failed because of a mistake of ours."
            shared = dict(_about(task)) | dict(_where(task))
            self._log.error("task_crashed", **shared, **fields, human=human, exc_info=task.crash)
        elif task.error is not None:
            human = f"The task ended without its result ({task.error.code})."
            story.tell("info", "task_ended", **fields, code=task.error.code, human=human)
        else:
            story.tell(
                "info",
                "task_ended",
                **fields,
                finish_reason=task.finish_reason,
                human=f"The task finished with {NUMBER} tokens in {NUMBER} ms.",
                numbers=(task.tokens_out, task.decode_time_ms),
            )

    def _story(self, task: Task) -> Story:
        story = self._stories.get(task.task_id)
        if story is None:
            story = self._stories[task.task_id] = Story(_about(task))
        story.move(_where(task))
        return story


def _about(task: Task) -> Mapping[str, object]:
    """Return what every line of this task carries."""
    trace = parse_traceparent(task.traceparent)
    return {
        "correlation_id": task.correlation_id,
        **({} if trace is None else {"trace_id": trace.trace_id}),
        "component": _COMPONENT,
        "task_id": task.task_id,
        "identity": task.identity,
        "session_id": task.request.session_id,
        "model_id": task.model_id,
    }


def _where(task: Task) -> tuple[tuple[str, object], ...]:
    """Return where it runs: many tasks have these in common."""
    return (
        ("pool_id", task.pool_id),
        ("replica_id", task.replica_id),
        ("engine", task.engine),
        ("engine_version", task.engine_version),
        ("attempt", max(1, task.attempts)),
    )
