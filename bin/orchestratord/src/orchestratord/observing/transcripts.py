"""Keeps the course of ended tasks as artifacts of those who asked for them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from admission_coordinator import Task
from api_types import ApiError
from artifact_store import ArtifactStore, ArtifactStoreError
from narration_core import get_logger

TAG = "transcript"
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for the store; what ends while there is more is not kept."""
MAX_TAG_CHARS = 128
FAREWELL_S = 5.0
"""How long the store may take for what is left when the daemon stops."""
_ASKED = {"prompt", "messages", "inputs", "query", "tools"}


def transcript_of(task: Task, *, with_prompt: bool) -> dict[str, Any]:
    """Return what became of an ended task; without what was asked unless `with_prompt`."""
    return {
        "task_id": task.task_id,
        "correlation_id": task.correlation_id,
        "identity": task.identity,
        "model_id": task.model_id,
        "engine": task.engine,
        "engine_version": task.engine_version,
        "state": task.state.value,
        "attempts": task.attempts,
        "finish_reason": task.finish_reason,
        "error": None if task.error is None else task.error.model_dump(exclude_none=True),
        "tokens": {"in": task.tokens_in, "out": task.tokens_out, "cached": task.tokens_cached},
        "timings": task.status().timings.model_dump(),
        "placement": task.placement().model_dump(),
        "request": task.request.model_dump(
            mode="json", exclude_none=True, exclude=None if with_prompt else _ASKED
        ),
        "events": [
            {"id": frame_id, "event": event, "data": dict(data)}
            for frame_id, event, data in task.log.history()
        ],
    }


class Transcripts:
    """A TaskObserver that gives every ended task to the artifact store, behind everybody's back.

    A store that is full or away costs transcripts, never a task.
    """

    def __init__(
        self, store: ArtifactStore, *, with_prompts: bool, now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._with_prompts = with_prompts
        self._now_ms = now_ms
        self._waiting: deque[Task] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._log = get_logger(component="transcripts")

    @classmethod
    @asynccontextmanager
    async def running(
        cls, store: ArtifactStore, *, with_prompts: bool, now_ms: Callable[[], int]
    ) -> AsyncIterator["Transcripts"]:
        """Write as long as the block is open, and on leaving what is left."""
        self = cls(store, with_prompts=with_prompts, now_ms=now_ms)
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write_for_ever(), name="transcripts")
                try:
                    yield self
                finally:
                    writing.cancel()
        finally:
            await self._write_the_rest()

    def ended(self, task: Task) -> None:
        """Keep a task that has had its one terminal frame."""
        size_bytes = task.retained_bytes()
        if self._waiting_bytes + size_bytes > MAX_WAITING_BYTES:
            self._lost(task, "too many are waiting for the store")
            return
        self._waiting.append(task)
        self._waiting_bytes += size_bytes
        self._news.set()

    def admitted(self, task: Task) -> None:
        """Nothing is kept of a task that has not ended."""

    def refused(self, error: ApiError, *, model_id: str | None, identity: str) -> None:
        """What was refused has never been a task."""

    def dispatched(self, task: Task) -> None:
        """The task's log tells of it at the end."""

    def first_token(self, task: Task) -> None:
        """The task's log tells of it at the end."""

    def put_back(self, task: Task, cause: str) -> None:
        """The task's log tells of it at the end."""

    async def _write_for_ever(self) -> None:
        while True:
            self._news.clear()
            while self._waiting:
                await self._write(self._waiting[0])
                self._forget_first()
            await self._news.wait()

    async def _write_the_rest(self) -> None:
        try:
            async with asyncio.timeout(FAREWELL_S):
                while self._waiting:
                    await self._write(self._waiting[0])
                    self._forget_first()
        except TimeoutError:
            for task in self._waiting:
                self._lost(task, "the daemon stopped")

    def _forget_first(self) -> None:
        self._waiting_bytes -= self._waiting.popleft().retained_bytes()

    async def _write(self, task: Task) -> None:
        tags = [TAG, f"task:{task.task_id}"]
        if task.request.session_id is not None:
            tags.append(f"session:{task.request.session_id}"[:MAX_TAG_CHARS])
        content = transcript_of(task, with_prompt=self._with_prompts)
        try:
            await self._store.put(content, owner=task.identity, now_ms=self._now_ms(), tags=tags)
        except ArtifactStoreError as error:
            self._lost(task, str(error))

    def _lost(self, task: Task, reason: str) -> None:
        self._log.warning(
            "transcript_lost",
            task_id=task.task_id,
            correlation_id=task.correlation_id,
            reason=reason,
            human=f"The transcript of a task was not kept: {reason}",
        )
