"""A fake orchestratord for tests: scripted streams over real HTTP, with faults on demand.

It holds to the contract's routes for tasks; it admits everything and computes nothing.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from api_types import (
    EVENT_STREAM,
    TERMINAL_STATES,
    ErrorBody,
    ErrorCode,
    Priority,
    StreamLinks,
    TaskAccepted,
    TaskList,
    TaskRequest,
    TaskState,
    TaskStatus,
    TaskTimings,
    Workload,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ScriptItem = tuple[str, dict[str, Any]]

_STARTED_MS = 1_700_000_000_000


def started(*, attempt: int = 1, queue_position: int = 0) -> ScriptItem:
    """Script a `started` frame; the fake fills in the task's id."""
    return "started", {
        "attempt": attempt,
        "created_ms": _STARTED_MS,
        "queue_position": queue_position,
        "predicted_start_ms": 0,
        "pool_id": None if queue_position else "default",
    }


def metrics(**fields: Any) -> ScriptItem:
    """Script a `metrics` frame."""
    return "metrics", fields


def tokens(*pieces: str) -> list[ScriptItem]:
    """Script one `token` frame for each piece, counted from 0."""
    return [("token", {"t": piece, "i": i}) for i, piece in enumerate(pieces)]


def end(*, tokens_out: int = 3, finish_reason: str = "stop") -> ScriptItem:
    """Script the `end` of a task that decoded `tokens_out` tokens in half a second."""
    return "end", {
        "tokens_in": 5,
        "tokens_out": tokens_out,
        "decode_time_ms": 500,
        "decode_ms": 500,
        "queue_time_ms": 7,
        "first_token_ms": 120,
        "finish_reason": finish_reason,
        "seed": 42,
        "pool_id": "default",
    }


def error(code: str, message: str = "scripted", *, retriable: bool = False) -> ScriptItem:
    """Script an `error` frame."""
    return "error", {"code": code, "message": message, "retriable": retriable}


HOLD: ScriptItem = ("hold", {})
"""Nothing more is written until the task is canceled."""

HELLO: tuple[ScriptItem, ...] = (started(), *tokens("Hel", "lo ", "wörld"), end())


@dataclass(slots=True)
class Refusal:
    """An answer given in place of the next one."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FakeTask:
    """One task that the fake admitted."""

    task_id: UUID
    body: Mapping[str, Any]
    script: tuple[ScriptItem, ...]
    canceled: asyncio.Event = field(default_factory=asyncio.Event)
    cancels: int = 0

    def frames(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Return (id, event, data) of all that may be written now."""
        items = list(self.script)
        if HOLD in items:
            items = items[: items.index(HOLD)]
            if self.canceled.is_set():
                items.append(error("CANCELED", "canceled by its client"))
        return [(i, name, self._filled(name, data)) for i, (name, data) in enumerate(items, 1)]

    def _filled(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        if name != "started":
            return data
        return {"task_id": str(self.task_id), "correlation_id": "scripted", **data}


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class FakeOrchestratord:
    """Admits every task and plays `script` for it. Faults are queued and used up one by one."""

    def __init__(self) -> None:
        self.url = ""
        self.script: tuple[ScriptItem, ...] = HELLO
        self.tasks: dict[UUID, FakeTask] = {}
        self.requests: list[SeenRequest] = []
        self.documents: dict[str, Any] = {}
        """Path → JSON body of the routes besides those of tasks, whatever the method."""
        self.pull: list[ScriptItem] = []
        """The events of the stream of a pull."""
        self.refusals: deque[Refusal] = deque()
        """Each is the answer to one request."""
        self.cuts: deque[int] = deque()
        """Each closes the connection of one stream after so many bytes of its body."""
        self.lost_answers = 0
        """How many admissions lose their answer: the task is there, the client is not told."""
        self.evicted_through = 0
        """Events up to this id are gone from the log."""
        self.holding = asyncio.Event()
        """Set once a stream has come to its `HOLD`."""

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncGenerator["FakeOrchestratord"]:
        """Serve on a free port of the loopback interface."""
        fake = cls()
        app = web.Application(middlewares=[fake._arrive])
        app.router.add_post("/v2/tasks", fake._admit)
        app.router.add_get("/v2/tasks", fake._list)
        app.router.add_get("/v2/tasks/{id}", fake._status)
        app.router.add_get("/v2/tasks/{id}/events", fake._events)
        app.router.add_post("/v2/tasks/{id}/cancel", fake._cancel)
        app.router.add_post("/v2/catalog/models", fake._pull)
        app.router.add_route("*", "/{path:.*}", fake._document)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            fake.url = f"http://{host}:{port}"
            yield fake
        finally:
            await runner.cleanup()

    async def _admit(self, request: web.Request) -> web.StreamResponse:
        wanted = TaskRequest.model_validate_json(await request.read())
        task_id = wanted.task_id or uuid4()
        body = wanted.model_dump(mode="json", exclude_unset=True)
        task = self.tasks.setdefault(task_id, FakeTask(task_id, body, tuple(self.script)))
        if task.body != body:
            return _refuse(ErrorCode.TASK_CONFLICT, 409)
        if self.lost_answers:
            self.lost_answers -= 1
            return _hang_up(request, web.Response())
        if request.headers.get("Accept") == EVENT_STREAM:
            return await self._play(request, task)
        link = f"/v2/tasks/{task_id}/events"
        accepted = TaskAccepted(
            task_id=task_id,
            queue_position=0,
            predicted_start_ms=0,
            streams=StreamLinks(sse=link, sse_verbose=f"{link}?verbose=true"),
        )
        return _answer(accepted.model_dump_json(), 202)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        state = request.query.get("state")
        views = [_view(task) for task in reversed(self.tasks.values())]
        shown = TaskList(tasks=tuple(v for v in views if state in {None, v.state}))
        return _answer(shown.model_dump_json())

    async def _status(self, request: web.Request) -> web.StreamResponse:
        task = self.tasks[UUID(request.match_info["id"])]
        return _answer(_view(task).model_dump_json())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        task = self.tasks[UUID(request.match_info["id"])]
        return await self._play(request, task)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        task = self.tasks[UUID(request.match_info["id"])]
        task.cancels += 1
        task.canceled.set()
        return web.Response(status=204)

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Accept") != EVENT_STREAM:
            wish = json.loads(await request.read())
            return _answer(json.dumps({"reference": wish["reference"], "state": "running"}), 202)
        body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in self.pull)
        return web.Response(text=body, content_type=EVENT_STREAM)

    async def _document(self, request: web.Request) -> web.StreamResponse:
        if request.path not in self.documents:
            return _refuse(ErrorCode.NOT_FOUND, 404)
        return _answer(json.dumps(self.documents[request.path]))

    @web.middleware
    async def _arrive(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(SeenRequest(request.method, request.path, request.headers, body))
        if self.refusals:
            refusal = self.refusals.popleft()
            text = refusal.body if isinstance(refusal.body, str) else json.dumps(refusal.body)
            return _answer(text, refusal.status, refusal.headers)
        if request.headers.get("Content-Type", "application/json") != "application/json":
            return _refuse(ErrorCode.UNSUPPORTED_MEDIA_TYPE, 415)
        try:
            return await handler(request)
        except KeyError:
            return _refuse(ErrorCode.TASK_NOT_FOUND, 404)

    async def _play(self, request: web.Request, task: FakeTask) -> web.StreamResponse:
        seen = int(request.headers.get("Last-Event-ID", "0"))
        frames = task.frames()
        if seen >= len(frames) and frames[-1][1] in {"end", "error"}:
            return web.Response(status=204)
        if seen < self.evicted_through:
            return _refuse(ErrorCode.EVENTS_EXPIRED, 410)
        response = web.StreamResponse(
            headers={"Content-Type": EVENT_STREAM, "X-Task-Id": str(task.task_id)}
        )
        await response.prepare(request)
        payload = _encode(frames, after=seen)
        if self.cuts and (cut := self.cuts.popleft()) < len(payload):
            await response.write(payload[:cut])
            return _hang_up(request, response)
        await response.write(payload)
        if HOLD in task.script and not task.canceled.is_set():
            self.holding.set()
            await task.canceled.wait()
            await response.write(_encode(task.frames(), after=len(frames)))
        return response


def encode_script(script: Iterable[ScriptItem], task_id: UUID) -> bytes:
    """Return the body of the whole stream of a task with this script."""
    return _encode(FakeTask(task_id, {}, tuple(script)).frames(), after=0)


def _encode(frames: list[tuple[int, str, dict[str, Any]]], *, after: int) -> bytes:
    return "".join(
        f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
        for event_id, name, data in frames
        if event_id > after
    ).encode()


def _view(task: FakeTask) -> TaskStatus:
    last = task.frames()[-1][1]
    states = {"end": TaskState.FINISHED, "error": TaskState.FAILED}
    state = TaskState.CANCELED if task.canceled.is_set() else states.get(last, TaskState.RUNNING)
    return TaskStatus(
        task_id=task.task_id,
        state=state,
        priority=Priority(task.body.get("priority", "interactive")),
        workload=Workload(task.body.get("workload", "completion")),
        model_ref=task.body.get("model_ref"),
        attempts=1,
        text="".join(data["t"] for _, name, data in task.frames() if name == "token"),
        tokens_out=3 if state in TERMINAL_STATES else None,
        timings=TaskTimings(created_ms=_STARTED_MS),
    )


def _answer(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def _refuse(code: ErrorCode, status: int) -> web.Response:
    body = ErrorBody(code=code, message="scripted", retriable=False, correlation_id="scripted")
    return _answer(body.model_dump_json(), status)


def _hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return response
