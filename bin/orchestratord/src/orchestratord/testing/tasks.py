"""A coordinator that does what the test says."""

# ruff: noqa: ARG002 - a fake answers the same whatever it is asked

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from admission_coordinator import Dialect
from api_types import (
    ApiError,
    ErrorCode,
    Priority,
    SessionView,
    StreamLinks,
    TaskAccepted,
    TaskList,
    TaskRequest,
    TaskState,
    TaskStatus,
    TaskTimings,
    Workload,
)


@dataclass(frozen=True, slots=True)
class FakeSubmission:
    """A canned admission."""

    accepted: TaskAccepted
    headers: Mapping[str, str] = field(default_factory=dict)
    model_id: str | None = None
    engine: str | None = None

    @property
    def task_id(self) -> str:
        """The task's id."""
        return str(self.accepted.task_id)


class FakeCursor:
    """Hands out what the test puts in; a test waits for `closed`."""

    def __init__(self, *frames: bytes, ended: bool = False) -> None:
        self._frames = list(frames)
        self._ended = ended
        self._news = asyncio.Event()
        self._listener: Callable[[], None] = lambda: None
        self.fell_off = False
        self.failure: Exception | None = None
        self.reads = 0
        self.closed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """All frames were handed out and no more will come, or the log went past."""
        return self.fell_off or (self._ended and not self._frames)

    def put(self, frame: bytes, *, last: bool = False) -> None:
        """Append a frame."""
        self._frames.append(frame)
        self._ended = last
        self._tell()

    def fall_off(self) -> None:
        """Let the log go past this reader."""
        self.fell_off = True
        self._tell()

    def fail(self, failure: Exception) -> None:
        """Let the next read raise."""
        self.failure = failure
        self._tell()

    async def read(self, *, timeout_s: float, max_bytes: int = 65536) -> bytes:
        """Return what is there, or wait for it."""
        if not self._frames and not self.ended and self.failure is None:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                self.reads += 1
                return b""
        return self.take(max_bytes=max_bytes)

    def take(self, *, max_bytes: int = 65536) -> bytes:
        """Return what is there."""
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        if self.fell_off:
            return b""
        taken, size = 0, 0
        while taken < len(self._frames) and size < max_bytes:
            size += len(self._frames[taken])
            taken += 1
        data = b"".join(self._frames[:taken])
        del self._frames[:taken]
        return data

    def follow(self, news: Callable[[], None]) -> None:
        """Tell of each change."""
        self._listener = news

    def close(self, *, by_server: bool = False) -> None:
        """Note that the reader is gone."""
        self.closed.set()

    def _tell(self) -> None:
        self._news.set()
        self._listener()


class FakeTasks:
    """Knows the tasks that it admitted; `refusal` is raised by every call when set."""

    def __init__(self) -> None:
        self.submitted: list[TaskRequest] = []
        self.sizes_bytes: list[int] = []
        self.correlation_ids: list[str] = []
        self.traceparents: list[str | None] = []
        self.cancelled: list[str] = []
        self.opened: list[dict[str, object]] = []
        self.cursor: FakeCursor | None = FakeCursor(frame(1, "end", {}), ended=True)
        self.refusal: Exception | None = None
        self.budget_headers: dict[str, str] = {}
        self._statuses: dict[str, TaskStatus] = {}

    def submit(
        self,
        request: TaskRequest,
        *,
        identity: str,
        correlation_id: str,
        size_bytes: int,
        traceparent: str | None = None,
    ) -> FakeSubmission:
        """Admit anything."""
        self._refuse()
        task_id = request.task_id or uuid4()
        self.submitted.append(request)
        self.sizes_bytes.append(size_bytes)
        self.correlation_ids.append(correlation_id)
        self.traceparents.append(traceparent)
        self._statuses[str(task_id)] = _status(task_id, request)
        links = StreamLinks(
            sse=f"/v2/tasks/{task_id}/events",
            sse_verbose=f"/v2/tasks/{task_id}/events?verbose=true",
        )
        accepted = TaskAccepted(
            task_id=task_id, queue_position=0, predicted_start_ms=0, streams=links
        )
        return FakeSubmission(accepted, self.budget_headers)

    def status(self, task_id: str, *, identity: str) -> TaskStatus:
        """Find a task that was admitted."""
        self._refuse()
        if task_id not in self._statuses:
            raise ApiError(ErrorCode.TASK_NOT_FOUND, f"there is no task {task_id}")
        return self._statuses[task_id]

    def list_tasks(
        self, *, identity: str, state: TaskState | None, limit: int, cursor: str | None
    ) -> TaskList:
        """List what was admitted."""
        self._refuse()
        return TaskList(tasks=tuple(self._statuses.values())[:limit])

    def cancel(self, task_id: str, *, identity: str) -> None:
        """Note the wish."""
        self.status(task_id, identity=identity)
        self.cancelled.append(task_id)

    def open_stream(
        self,
        task_id: str,
        *,
        identity: str,
        last_event_id: int | None,
        verbose: bool,
        dialect: Dialect | None = None,
        one_request: bool = False,
    ) -> FakeCursor | None:
        """Give the cursor that the test prepared."""
        self.status(task_id, identity=identity)
        self.opened.append(
            {"last_event_id": last_event_id, "verbose": verbose, "one_request": one_request}
        )
        return self.cursor

    def session(self, session_id: str, *, identity: str) -> SessionView:
        """Know one session, `known`."""
        self._refuse()
        if session_id != "known":
            raise ApiError(ErrorCode.SESSION_NOT_FOUND, f"there is no session {session_id}")
        return SessionView(
            session_id=session_id, ttl_ms_remaining=1000, turns=1, kv_bytes=0, kv_warmth=0.0
        )

    def delete_session(self, session_id: str, *, identity: str) -> None:
        """Delete nothing."""
        self.session(session_id, identity=identity)

    def queue_depth(self, model_id: str | None = None) -> int:
        """Say that three wait, all of them for the model of the one pool."""
        return 3 if model_id in (None, "recital") else 0

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal


def frame(frame_id: int, event: str, data: Mapping[str, object]) -> bytes:
    """Encode one frame."""
    return f"id: {frame_id}\nevent: {event}\ndata: {json.dumps(data)}\n\n".encode()


def _status(task_id: UUID, request: TaskRequest) -> TaskStatus:
    return TaskStatus(
        task_id=task_id,
        state=TaskState.QUEUED,
        priority=Priority.INTERACTIVE,
        workload=Workload.COMPLETION,
        model_ref=request.model_ref,
        timings=TaskTimings(created_ms=0),
    )
