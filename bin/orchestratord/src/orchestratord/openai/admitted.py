"""A request under /v1 once it is a task: how its answer is waited for."""

from typing import Any, Self

import msgspec

from admission_coordinator import Dialect
from api_types import ApiError, ErrorCode, TaskRequest
from http_shell import Call
from orchestratord.http.handlers import Context
from orchestratord.http.services import Cursor
from orchestratord.http.sse import Streamed
from orchestratord.http.tasks import admit
from orchestratord.openai.chunks import Chunks, Style
from orchestratord.openai.collected import Collected
from orchestratord.openai.errors import failure_of
from orchestratord.openai.shapes import Heading

HOLD_S = 10.0
"""How long the first chunk is waited for before the headers go without it."""
_LOOK_AGAIN_S = 60.0
"""Only for form: a task has limits, and its last frame ends the wait."""


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A task, with the only reader that it has; if that one goes, the task is canceled.

    Between admission and the opening of its cursor nothing awaits, so no task is left alone.
    """

    context: Context
    call: Call[Any, Any]
    task_id: str
    heading: Heading

    @classmethod
    def of(
        cls,
        context: Context,
        call: Call[Any, Any],
        request: TaskRequest,
        *,
        id_prefix: str,
        capacity: int,
    ) -> Self:
        """Submit a task; raises ApiError. The limits are told either way."""
        tasks, told = context.services.tasks, call.answer_headers
        try:
            submission = admit(context, call, request)
        finally:
            left = max(0, capacity - tasks.queue_depth())
            told["X-Request-Id"] = call.correlation_id
            told["X-RateLimit-Limit-Requests"] = str(capacity)
            told["X-RateLimit-Remaining-Requests"] = str(left)
        task_id = submission.task_id
        told |= {**submission.headers, "X-Task-Id": task_id}
        heading = Heading(
            id=f"{id_prefix}-{task_id}",
            created_s=context.services.now_ms() // 1000,
            model=submission.model_id or request.model_ref or "",
            engine=lambda: submission.engine,
        )
        return cls(context=context, call=call, task_id=task_id, heading=heading)

    def stream(self, style: Style, *, include_usage: bool) -> Streamed:
        """Answer with chunks."""
        chunks = Chunks(
            self.heading,
            style,
            include_usage=include_usage,
            correlation_id=self.call.correlation_id,
        )
        return Streamed(self._open(chunks), {}, hold_s=HOLD_S, commit=chunks.commit)

    async def collect(self) -> Collected:
        """Wait for the end; raises the task's failure as ApiError."""
        kept = Collected()
        cursor = self._open(kept)
        try:
            while not cursor.ended:
                await cursor.read(timeout_s=_LOOK_AGAIN_S)
            if cursor.fell_off:
                self.context.services.tasks.cancel(self.task_id, identity=self.call.identity)
                raise ApiError(
                    ErrorCode.INTERNAL, "the answer came faster than it could be collected"
                )
        finally:
            cursor.close()
        if kept.failure is not None:
            raise failure_of(kept.failure)
        return kept

    def _open(self, dialect: Dialect) -> Cursor:
        cursor = self.context.services.tasks.open_stream(
            self.task_id,
            identity=self.call.identity,
            last_event_id=None,
            verbose=False,
            dialect=dialect,
            one_request=True,
        )
        if cursor is None:
            raise AssertionError("a stream from its start always has its terminal frame to come")
        return cursor
