"""From the engine's events to the task's log: what runs once per read of the engine's stream."""

from collections.abc import Callable
from typing import Any

from adapter_api import EngineEvent, EngineRequest, Progress, Result, Tokens
from admission_coordinator.ports import NowMs
from admission_coordinator.settings import CoordinatorSettings
from admission_coordinator.task import Task
from api_types import Message, Sampling


class TokenRelay:
    """The sink of one attempt. Nothing here awaits; a sealed log lets nothing through."""

    __slots__ = ("_now_ms", "_on_first_token", "_task")

    def __init__(
        self, task: Task, *, now_ms: NowMs, on_first_token: Callable[[Task], None]
    ) -> None:
        self._task = task
        self._now_ms = now_ms
        self._on_first_token = on_first_token

    def __call__(self, event: EngineEvent) -> None:
        """Append what one read brought: one frame, or one a piece where pieces carry extras."""
        task = self._task
        log = task.log
        if log.sealed or type(event) is Progress:
            return
        if task.first_token_at_ms is None:
            task.first_token_at_ms = self._now_ms()
            self._on_first_token(task)
        if type(event) is Tokens and event.extras is None:
            pieces = event.pieces
            text, count = pieces[0], 1
            if pieces[1:]:
                text, count = "".join(pieces), len(pieces)
            log.append_tokens(text, task.token_index, count, quiet=event.last)
            task.pieces.append(text)
            task.token_index += count
        elif isinstance(event, Tokens):
            self._append_with_extras(event)
        elif isinstance(event, Result):
            task.result = dict(event.data)
            log.append("result", event.data)

    def _append_with_extras(self, event: Tokens) -> None:
        task = self._task
        for piece, extra in zip(event.pieces, event.extras or (), strict=True):
            task.log.append("token", {"t": piece, "i": task.token_index, "x": extra})
            task.pieces.append(piece)
            task.token_index += 1


def engine_request(task: Task, settings: CoordinatorSettings) -> EngineRequest:
    """Return what the adapter is asked to do for the next attempt of a task."""
    request = task.request
    return EngineRequest(
        task_id=task.task_id,
        attempt=task.attempt_number,
        workload=request.workload._value_,
        prompt=request.prompt,
        messages=None
        if request.messages is None
        else [_plain(message) for message in request.messages],
        inputs=request.inputs,
        query=request.query,
        text_so_far=task.carried_text,
        max_tokens=tokens_left(task) if task.carried_tokens else request.max_tokens,
        seed=request.seed,
        sampling=_plain(request.sampling),
        tools=request.tools,
        tool_choice=request.tool_choice,
        cache_prompt=task.uses_cache,
        session_id=request.session_id,
        correlation_id=task.correlation_id,
        traceparent=task.traceparent,
        first_token_timeout_ms=settings.first_token_timeout_ms,
        idle_timeout_ms=settings.decode_idle_timeout_ms,
    )


def tokens_left(task: Task) -> int | None:
    """Return how many tokens the answer may still have; None: as many as the engine gives."""
    limit = task.request.max_tokens
    return None if limit is None else max(0, limit - task.carried_tokens)


def _plain(model: Message | Sampling) -> dict[str, Any]:
    """Return what is set, as the plain values that JSON is made of."""
    if type(model) is Message and type(model.content) is tuple:  # Its parts are models as well.
        return model.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in model.__dict__.items() if value is not None}
