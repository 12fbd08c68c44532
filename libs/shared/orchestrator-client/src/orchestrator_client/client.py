"""The asynchronous client."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote
from uuid import UUID, uuid4

from pydantic import BaseModel, JsonValue

from api_types import (
    ArtifactCreated,
    ArtifactList,
    ArtifactRequest,
    ArtifactView,
    CacheView,
    Capabilities,
    GcPlanView,
    GcRunView,
    ModelList,
    ModelView,
    PinRequest,
    PoolHealth,
    PoolList,
    PoolView,
    PreparationStep,
    PullRequest,
    PullView,
    PurgeRequest,
    Readiness,
    ReloadRequest,
    SessionView,
    StagedView,
    StagingRequest,
    StateRequest,
    TaskAccepted,
    TaskList,
    TaskRequest,
    TaskState,
    TaskStatus,
    VerificationView,
    VersionInfo,
)
from orchestrator_client.errors import LlamaOrchError
from orchestrator_client.events import Completion, TaskEvent
from orchestrator_client.handle import TaskHandle, complete
from orchestrator_client.policy import RECONNECT, RetryPolicy, Timeouts
from orchestrator_client.pulling import follow_pull
from orchestrator_client.transport import Call, Model, Transport

_FAREWELL_S = 2.0
"""How long a canceled `run` may take to cancel its task."""
_WHOLE_MODELS_S = 3600.0
"""What reads or deletes the files of whole models takes as long as its disk does."""


def _new_correlation_id() -> str:
    return str(uuid4())


class Client:
    """A client of one orchestratord: `async with Client() as client`.

    Calls may run concurrently. `new_correlation_id` is asked once for each call; a task keeps its
    own for all its calls.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8080",
        *,
        api_key: str | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 (immutable)
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008
        reconnect: RetryPolicy = RECONNECT,
        tls: ssl.SSLContext | None = None,
        new_correlation_id: Callable[[], str] = _new_correlation_id,
    ) -> None:
        self._transport = Transport(
            base_url, api_key=api_key, timeouts=timeouts, retry=retry, tls=tls
        )
        self._reconnect = reconnect
        self._new_correlation_id = new_correlation_id

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.close()

    # Tasks

    async def submit(self, request: TaskRequest | str | None = None, **fields: Any) -> TaskHandle:
        """Admit a task, given as a request, as a prompt with fields, or as fields alone.

        Retries cannot make two tasks of it: the client gives it an id if it has none.
        """
        task, task_id = _with_id(request, fields)
        call = self._request("POST", "/v2/tasks", body=task)
        accepted = await self._transport.fetch(TaskAccepted, call)
        return self._handle(task_id, call.correlation_id, accepted)

    def stream(
        self, request: TaskRequest | str | None = None, **fields: Any
    ) -> AsyncGenerator[TaskEvent]:
        """Admit a task and yield its events, in one request; takes what `submit` takes.

        Leaving early leaves the task running; give it a `task_id` to be able to cancel it.
        """
        task, task_id = _with_id(request, fields)
        opening = self._request("POST", "/v2/tasks", body=task)
        return self._handle(task_id, opening.correlation_id).events_from(opening)

    async def run(self, request: TaskRequest | str | None = None, **fields: Any) -> Completion:
        """Return the whole answer to a task; takes what `submit` takes.

        Raises `TaskFailed` for a task that ends with an error. Being canceled cancels the task.
        """
        task, task_id = _with_id(request, fields)
        try:
            return await complete(task_id, self.stream(task))
        except asyncio.CancelledError:
            with suppress(LlamaOrchError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self.cancel(task_id)
            raise

    def task(self, task_id: UUID | str) -> TaskHandle:
        """Return a handle on a task that was admitted before; nothing is asked yet."""
        return self._handle(UUID(str(task_id)), self._new_correlation_id())

    async def status(self, task_id: UUID | str) -> TaskStatus:
        """Return where a task stands."""
        return await self.task(task_id).status()

    async def cancel(self, task_id: UUID | str) -> None:
        """Stop a task; without effect on one that has ended."""
        await self.task(task_id).cancel()

    async def tasks(
        self, *, state: TaskState | None = None, limit: int | None = None, cursor: str | None = None
    ) -> TaskList:
        """List tasks, newest first; pass `next_cursor` on for the next page."""
        return await self._get(TaskList, "/v2/tasks", state=state, limit=limit, cursor=cursor)

    # Pools, models, sessions, artifacts

    async def pools(self) -> PoolList:
        """List the pools with their replicas."""
        return await self._get(PoolList, "/v2/pools")

    async def pool_health(self, pool_id: str) -> PoolHealth:
        """Return how one pool is doing."""
        return await self._get(PoolHealth, f"/v2/pools/{_segment(pool_id)}/health")

    async def models(self, *, node_id: str | None = None) -> ModelList:
        """List the models of the catalog: of one node, or of all there are."""
        return await self._get(ModelList, "/v2/catalog/models", node_id=node_id)

    async def reload(self, pool_id: str, new_model_ref: str) -> PoolView:
        """Begin to change the model of a pool; its status tells how that ends."""
        wish = ReloadRequest(new_model_ref=new_model_ref)
        call = self._request("POST", f"/v2/pools/{_segment(pool_id)}/reload", body=wish)
        return await self._transport.fetch(PoolView, call)

    async def purge_pool(self, pool_id: str, wish: PurgeRequest) -> PoolView:
        """Begin to delete what a pool takes of the disk; its status tells what was kept."""
        call = self._request("POST", f"/v2/pools/{_segment(pool_id)}/purge", body=wish)
        return await self._transport.fetch(PoolView, call)

    async def pool_status(self, pool_id: str) -> PoolView:
        """Return the status of a pool as its node reports it."""
        return await self._get(PoolView, f"/v2/pools/{_segment(pool_id)}/status")

    def pull(
        self, reference: str, *, digest: str | None = None, node_id: str | None = None
    ) -> AsyncGenerator[PreparationStep | ModelView]:
        """Bring a model to the server's disk: the steps as they come, and the model at last.

        Leaving early ends the fetch, unless others wait for it; the next one goes on with it.
        Where there are several nodes, `node_id` says to which.
        """
        return follow_pull(self._transport, self._pull(reference, digest, node_id))

    async def start_pull(
        self, reference: str, *, digest: str | None = None, node_id: str | None = None
    ) -> PullView:
        """Have a model fetched in the background; `models` tells how far it is."""
        return await self._transport.fetch(PullView, self._pull(reference, digest, node_id))

    async def retire(self, model_id: str, *, node_id: str | None = None) -> ModelView:
        """Offer a model no longer; the next collections may delete it."""
        call = self._request("DELETE", _model(model_id), params={"node_id": node_id})
        return await self._transport.fetch(ModelView, call)

    async def purge(self, model_id: str, *, node_id: str | None = None) -> None:
        """Delete a model now, whatever the policy says."""
        params = {"purge": "true", "node_id": node_id}
        call = self._request("DELETE", _model(model_id), params=params)
        await self._transport.send(replace(call, timeout_s=_WHOLE_MODELS_S))

    async def verify(self, model_id: str, *, node_id: str | None = None) -> VerificationView:
        """Have all files of a model read and held against their digests."""
        call = self._request("POST", f"{_model(model_id)}/verify", params={"node_id": node_id})
        return await self._transport.fetch(
            VerificationView, replace(call, timeout_s=_WHOLE_MODELS_S)
        )

    async def set_model_state(
        self, model_id: str, state: Literal["Active", "Retired"], *, node_id: str | None = None
    ) -> ModelView:
        """Offer a model, or offer it no longer once nobody needs it."""
        call = self._request(
            "PATCH",
            f"{_model(model_id)}/state",
            params={"node_id": node_id},
            body=StateRequest(state=state),
        )
        return await self._transport.fetch(ModelView, call)

    async def pin(
        self, model_id: str, *, pinned: bool = True, node_id: str | None = None
    ) -> ModelView:
        """Keep a model from being deleted, or no longer."""
        call = self._request(
            "POST",
            f"{_model(model_id)}/pin",
            params={"node_id": node_id},
            body=PinRequest(pinned=pinned),
        )
        return await self._transport.fetch(ModelView, call)

    async def gc_plan(self, *, node_id: str | None = None) -> GcPlanView:
        """Return what a collection would delete now, and why."""
        return await self._get(GcPlanView, "/v2/catalog/gc/plan", node_id=node_id)

    async def gc_run(self, *, node_id: str | None = None) -> GcRunView:
        """Delete what the policy allows."""
        call = self._request("POST", "/v2/catalog/gc/run", params={"node_id": node_id})
        return await self._transport.fetch(GcRunView, replace(call, timeout_s=_WHOLE_MODELS_S))

    async def model_cache(self, *, node_id: str | None = None) -> CacheView:
        """Return what is staged in RAM."""
        return await self._get(CacheView, "/v2/model-cache", node_id=node_id)

    async def stage(
        self, model_id: str, *, pinned: bool = False, node_id: str | None = None
    ) -> StagedView:
        """Begin to bring a model of the catalog into RAM; `model_cache` tells how far it is."""
        call = self._request(
            "POST",
            f"/v2/model-cache/{_segment(model_id)}",
            params={"node_id": node_id},
            body=StagingRequest(pinned=pinned),
        )
        return await self._transport.fetch(StagedView, call)

    async def unstage(self, model_id: str, *, node_id: str | None = None) -> None:
        """Let the RAM of a staged model go."""
        path = f"/v2/model-cache/{_segment(model_id)}"
        await self._transport.send(self._request("DELETE", path, params={"node_id": node_id}))

    async def session(self, session_id: str) -> SessionView:
        """Return a session's counters and budgets."""
        return await self._get(SessionView, f"/v2/sessions/{_segment(session_id)}")

    async def delete_session(self, session_id: str) -> None:
        """Forget a session and its place in an engine's cache."""
        await self._transport.send(self._request("DELETE", f"/v2/sessions/{_segment(session_id)}"))

    async def store_artifact(
        self, content: JsonValue, *, tags: tuple[str, ...] = ()
    ) -> ArtifactCreated:
        """Store JSON content under the digest of its canonical form."""
        request = ArtifactRequest(content=content, tags=tags)
        return await self._transport.fetch(
            ArtifactCreated, self._request("POST", "/v2/artifacts", body=request)
        )

    async def artifact(self, artifact_id: str) -> ArtifactView:
        """Return an artifact with its content."""
        return await self._get(ArtifactView, f"/v2/artifacts/{_segment(artifact_id)}")

    async def artifacts(self, *, tag: str | None = None) -> ArtifactList:
        """List artifacts, without their contents."""
        return await self._get(ArtifactList, "/v2/artifacts", tag=tag)

    # The server

    async def capabilities(self) -> Capabilities:
        """Return what this server can do, and its limits."""
        return await self._get(Capabilities, "/v2/meta/capabilities")

    async def version(self) -> VersionInfo:
        """Return which server this is."""
        return await self._get(VersionInfo, "/v2/meta/version")

    async def ready(self) -> Readiness:
        """Return whether the server is ready and which pools are; "not ready" is no error."""
        call = self._request("GET", "/ready", also_accept=frozenset({503}))
        return await self._transport.fetch(Readiness, call)

    def _handle(
        self, task_id: UUID, correlation_id: str, accepted: TaskAccepted | None = None
    ) -> TaskHandle:
        return TaskHandle(
            self._transport,
            self._reconnect,
            task_id,
            correlation_id=correlation_id,
            accepted=accepted,
        )

    def _pull(self, reference: str, digest: str | None, node_id: str | None) -> Call:
        wish = PullRequest(reference=reference, digest=digest)
        return self._request("POST", "/v2/catalog/models", params={"node_id": node_id}, body=wish)

    async def _get(self, model: type[Model], path: str, **params: str | int | None) -> Model:
        return await self._transport.fetch(model, self._request("GET", path, params=params))

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | None] | None = None,
        body: BaseModel | None = None,
        also_accept: frozenset[int] = frozenset(),
    ) -> Call:
        return Call(
            method=method,
            path=path,
            correlation_id=self._new_correlation_id(),
            params={k: str(v) for k, v in (params or {}).items() if v is not None},
            body=None if body is None else body.model_dump_json(exclude_unset=True).encode(),
            also_accept=also_accept,
        )


def _with_id(request: TaskRequest | str | None, fields: dict[str, Any]) -> tuple[TaskRequest, UUID]:
    """Return the whole request and its task id, so that sending it twice makes one task."""
    if isinstance(request, TaskRequest):
        fields = request.model_dump(exclude_unset=True) | fields
    elif request is not None:
        fields = {"prompt": request} | fields
    task_id = uuid4()
    fields = {"task_id": task_id} | {k: v for k, v in fields.items() if v is not None}
    task = TaskRequest(**fields)
    return task, task.task_id or task_id


def _model(model_id: str) -> str:
    return f"/v2/catalog/models/{_segment(model_id)}"


def _segment(name: str) -> str:
    return quote(name, safe=":")
