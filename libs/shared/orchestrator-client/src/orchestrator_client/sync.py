"""The blocking face of the client: the same names, run on an event loop in a thread of its own."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import JsonValue

from api_types import (
    ArtifactCreated,
    ArtifactList,
    ArtifactView,
    CacheView,
    Capabilities,
    GcPlanView,
    GcRunView,
    ModelList,
    ModelView,
    PoolHealth,
    PoolList,
    PoolView,
    PreparationStep,
    PullView,
    PurgeRequest,
    Readiness,
    SessionView,
    StagedView,
    TaskAccepted,
    TaskList,
    TaskRequest,
    TaskState,
    TaskStatus,
    VerificationView,
    VersionInfo,
)
from orchestrator_client.client import Client
from orchestrator_client.events import Completion, TaskEvent
from orchestrator_client.handle import TaskHandle

T = TypeVar("T")

_TIDY_UP_S = 3.0
"""How long an interrupted call may take to tidy up, such as a `run` that cancels its task."""

_LOOK_UP_S = 0.2
"""How often a waiting thread looks up: a signal that comes just before the wait does not end it,
and Python handles it only when the thread runs again."""


class LoopThread:
    """An event loop in a thread, to which other threads hand coroutines."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the loop."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="orchestrator-client", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the loop."""
        if self._loop is None or self._thread is None:
            return
        self.call(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`; an interrupt of the waiting thread cancels it and lets it tidy up."""
        if self._loop is None:
            work.close()
            raise RuntimeError("the client is not open: use `with SyncClient(...) as client`")
        over = threading.Event()

        async def tracked() -> T:
            try:
                return await work
            finally:
                over.set()

        future = asyncio.run_coroutine_threadsafe(tracked(), self._loop)
        try:
            while not concurrent.futures.wait((future,), _LOOK_UP_S).done:
                pass
            return future.result()
        except BaseException:
            if future.cancel():
                over.wait(_TIDY_UP_S)
            raise

    def iterate(self, items: AsyncGenerator[T]) -> Generator[T]:
        """Yield the items of an asynchronous generator, and close it."""
        try:
            while True:
                try:
                    item = self.call(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if self._loop is not None:  # else stopping the loop has closed them
                self.call(_close(items))


async def _next(items: AsyncGenerator[T]) -> T:
    return await anext(items)


async def _close(items: AsyncGenerator[T]) -> None:
    await items.aclose()


class SyncTaskHandle:
    """`TaskHandle` for blocking code."""

    def __init__(self, handle: TaskHandle, loop: LoopThread) -> None:
        self._handle = handle
        self._loop = loop

    @property
    def task_id(self) -> UUID:
        """The task's id."""
        return self._handle.task_id

    @property
    def correlation_id(self) -> str:
        """The id under which the server logs this task's calls."""
        return self._handle.correlation_id

    @property
    def accepted(self) -> TaskAccepted | None:
        """The answer to `submit`; None on a task known by its id."""
        return self._handle.accepted

    def events(
        self, *, last_event_id: int | None = None, verbose: bool = False
    ) -> Generator[TaskEvent]:
        """See `TaskHandle.events`."""
        return self._loop.iterate(self._handle.events(last_event_id=last_event_id, verbose=verbose))

    def text(self) -> Generator[str]:
        """See `TaskHandle.text`."""
        return self._loop.iterate(self._handle.text())

    def result(self) -> Completion:
        """See `TaskHandle.result`."""
        return self._loop.call(self._handle.result())

    def status(self) -> TaskStatus:
        """See `TaskHandle.status`."""
        return self._loop.call(self._handle.status())

    def cancel(self) -> None:
        """See `TaskHandle.cancel`."""
        self._loop.call(self._handle.cancel())


class SyncClient:
    """`Client` for blocking code: `with SyncClient() as client`; takes what `Client` takes.

    May be shared between threads. Not for use inside a running event loop: that is what `Client`
    is for.
    """

    def __init__(self, base_url: str = "http://127.0.0.1:8080", **options: Any) -> None:
        self._client = Client(base_url, **options)
        self._loop = LoopThread()

    def __enter__(self) -> Self:
        self._loop.start()
        self._loop.call(self._client.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._loop.call(self._client.__aexit__(kind, error, trace))
        finally:
            self._loop.stop()

    def submit(self, request: TaskRequest | str | None = None, **fields: Any) -> SyncTaskHandle:
        """See `Client.submit`."""
        return SyncTaskHandle(self._loop.call(self._client.submit(request, **fields)), self._loop)

    def stream(
        self, request: TaskRequest | str | None = None, **fields: Any
    ) -> Generator[TaskEvent]:
        """See `Client.stream`."""
        return self._loop.iterate(self._client.stream(request, **fields))

    def run(self, request: TaskRequest | str | None = None, **fields: Any) -> Completion:
        """See `Client.run`; an interrupt cancels the task."""
        return self._loop.call(self._client.run(request, **fields))

    def task(self, task_id: UUID | str) -> SyncTaskHandle:
        """See `Client.task`."""
        return SyncTaskHandle(self._client.task(task_id), self._loop)

    def status(self, task_id: UUID | str) -> TaskStatus:
        """See `Client.status`."""
        return self._loop.call(self._client.status(task_id))

    def cancel(self, task_id: UUID | str) -> None:
        """See `Client.cancel`."""
        self._loop.call(self._client.cancel(task_id))

    def tasks(
        self, *, state: TaskState | None = None, limit: int | None = None, cursor: str | None = None
    ) -> TaskList:
        """See `Client.tasks`."""
        return self._loop.call(self._client.tasks(state=state, limit=limit, cursor=cursor))

    def pools(self) -> PoolList:
        """See `Client.pools`."""
        return self._loop.call(self._client.pools())

    def pool_health(self, pool_id: str) -> PoolHealth:
        """See `Client.pool_health`."""
        return self._loop.call(self._client.pool_health(pool_id))

    def models(self, *, node_id: str | None = None) -> ModelList:
        """See `Client.models`."""
        return self._loop.call(self._client.models(node_id=node_id))

    def reload(self, pool_id: str, new_model_ref: str) -> PoolView:
        """See `Client.reload`."""
        return self._loop.call(self._client.reload(pool_id, new_model_ref))

    def purge_pool(self, pool_id: str, wish: PurgeRequest) -> PoolView:
        """See `Client.purge_pool`."""
        return self._loop.call(self._client.purge_pool(pool_id, wish))

    def pool_status(self, pool_id: str) -> PoolView:
        """See `Client.pool_status`."""
        return self._loop.call(self._client.pool_status(pool_id))

    def pull(
        self, reference: str, *, digest: str | None = None, node_id: str | None = None
    ) -> Generator[PreparationStep | ModelView]:
        """See `Client.pull`."""
        return self._loop.iterate(self._client.pull(reference, digest=digest, node_id=node_id))

    def start_pull(
        self, reference: str, *, digest: str | None = None, node_id: str | None = None
    ) -> PullView:
        """See `Client.start_pull`."""
        return self._loop.call(self._client.start_pull(reference, digest=digest, node_id=node_id))

    def retire(self, model_id: str, *, node_id: str | None = None) -> ModelView:
        """See `Client.retire`."""
        return self._loop.call(self._client.retire(model_id, node_id=node_id))

    def purge(self, model_id: str, *, node_id: str | None = None) -> None:
        """See `Client.purge`."""
        self._loop.call(self._client.purge(model_id, node_id=node_id))

    def verify(self, model_id: str, *, node_id: str | None = None) -> VerificationView:
        """See `Client.verify`."""
        return self._loop.call(self._client.verify(model_id, node_id=node_id))

    def set_model_state(
        self, model_id: str, state: Literal["Active", "Retired"], *, node_id: str | None = None
    ) -> ModelView:
        """See `Client.set_model_state`."""
        return self._loop.call(self._client.set_model_state(model_id, state, node_id=node_id))

    def pin(self, model_id: str, *, pinned: bool = True, node_id: str | None = None) -> ModelView:
        """See `Client.pin`."""
        return self._loop.call(self._client.pin(model_id, pinned=pinned, node_id=node_id))

    def gc_plan(self, *, node_id: str | None = None) -> GcPlanView:
        """See `Client.gc_plan`."""
        return self._loop.call(self._client.gc_plan(node_id=node_id))

    def gc_run(self, *, node_id: str | None = None) -> GcRunView:
        """See `Client.gc_run`."""
        return self._loop.call(self._client.gc_run(node_id=node_id))

    def model_cache(self, *, node_id: str | None = None) -> CacheView:
        """See `Client.model_cache`."""
        return self._loop.call(self._client.model_cache(node_id=node_id))

    def stage(
        self, model_id: str, *, pinned: bool = False, node_id: str | None = None
    ) -> StagedView:
        """See `Client.stage`."""
        return self._loop.call(self._client.stage(model_id, pinned=pinned, node_id=node_id))

    def unstage(self, model_id: str, *, node_id: str | None = None) -> None:
        """See `Client.unstage`."""
        self._loop.call(self._client.unstage(model_id, node_id=node_id))

    def session(self, session_id: str) -> SessionView:
        """See `Client.session`."""
        return self._loop.call(self._client.session(session_id))

    def delete_session(self, session_id: str) -> None:
        """See `Client.delete_session`."""
        self._loop.call(self._client.delete_session(session_id))

    def store_artifact(self, content: JsonValue, *, tags: tuple[str, ...] = ()) -> ArtifactCreated:
        """See `Client.store_artifact`."""
        return self._loop.call(self._client.store_artifact(content, tags=tags))

    def artifact(self, artifact_id: str) -> ArtifactView:
        """See `Client.artifact`."""
        return self._loop.call(self._client.artifact(artifact_id))

    def artifacts(self, *, tag: str | None = None) -> ArtifactList:
        """See `Client.artifacts`."""
        return self._loop.call(self._client.artifacts(tag=tag))

    def capabilities(self) -> Capabilities:
        """See `Client.capabilities`."""
        return self._loop.call(self._client.capabilities())

    def version(self) -> VersionInfo:
        """See `Client.version`."""
        return self._loop.call(self._client.version())

    def ready(self) -> Readiness:
        """See `Client.ready`."""
        return self._loop.call(self._client.ready())
