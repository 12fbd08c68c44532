"""The events of one task, and the answer that they add up to. Pure."""

from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from pydantic import ValidationError

from api_types import (
    EVENT_TYPES,
    End,
    ErrorFrame,
    Metrics,
    ResultFrame,
    Started,
    Token,
)
from orchestrator_client.errors import ProtocolError, TaskFailed
from orchestrator_client.sse import SseFrame

TaskFrame = Started | Token | ResultFrame | Metrics | End | ErrorFrame


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event of a task; `id` is what a later reader may resume from."""

    id: int
    name: str
    data: TaskFrame


class StreamCursor:
    """Where one reader stands in a task's stream: every event once and in order, over any cuts."""

    def __init__(self, last_event_id: int | None = None) -> None:
        self.last_event_id = last_event_id
        self.ended = False
        self._next_index: int | None = None

    def accept(self, frame: SseFrame) -> TaskEvent | None:
        """Return the event of `frame`; None for one that was seen before or has no known name."""
        if frame.id is None or not frame.id.isdecimal():
            raise ProtocolError(f"a {frame.event} frame has the id {frame.id!r}, not a number")
        event_id = int(frame.id)
        if self.last_event_id is not None and event_id <= self.last_event_id:
            return None
        model = EVENT_TYPES.get(frame.event)
        if model is None:
            self.last_event_id = event_id
            return None
        try:
            data = cast("TaskFrame", model.model_validate_json(frame.data))
        except ValidationError as error:
            raise ProtocolError(f"event {event_id} is no valid {frame.event}: {error}") from error
        self._check_order(event_id, data)
        self.last_event_id = event_id
        self.ended = isinstance(data, End | ErrorFrame)
        return TaskEvent(event_id, frame.event, data)

    def _check_order(self, event_id: int, data: TaskFrame) -> None:
        match data:
            case Started():
                self._next_index = 0
            case Token(i=index, n=count):
                if self._next_index is not None and index != self._next_index:
                    raise ProtocolError(
                        f"event {event_id} is token {index}, but {self._next_index} comes next"
                    )
                self._next_index = index + count
            case _:
                pass


@dataclass(frozen=True, slots=True)
class Completion:
    """The whole answer of a task that ended well."""

    text: str
    end: End
    task_id: UUID
    attempt: int = 1
    result: ResultFrame | None = None
    extras: tuple[dict[str, Any], ...] = ()
    """What tokens carried besides text: tool calls, log-probabilities, reasoning."""


@dataclass(slots=True)
class Answer:
    """Adds up events; a restarted attempt drops what came before it."""

    task_id: UUID
    attempt: int = 1
    end: End | None = None
    result: ResultFrame | None = None
    _pieces: list[str] = field(default_factory=list)
    _extras: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    def add(self, event: TaskEvent) -> None:
        """Take one event in; raise `TaskFailed` for an `error`."""
        match event.data:
            case Started(attempt=attempt):
                self.attempt = attempt
                self._pieces.clear()
                self._extras.clear()
            case Token(t=piece, x=extra):
                self._pieces.append(piece)
                if extra is not None:
                    self._extras.append(extra)
            case ResultFrame() as result:
                self.result = result
            case End() as end:
                self.end = end
            case ErrorFrame() as error:
                raise TaskFailed(
                    error.code,
                    error.message,
                    retriable=error.retriable,
                    retry_after_ms=error.retry_after_ms,
                    task_id=self.task_id,
                    text=self.text,
                )
            case Metrics():
                pass

    def completion(self) -> Completion:
        """Return the answer once `end` has come."""
        if self.end is None:
            raise ProtocolError("the stream has not come to its end")
        return Completion(
            self.text, self.end, self.task_id, self.attempt, self.result, tuple(self._extras)
        )
