"""Handlers of tasks, their streams, and sessions."""

import time
from typing import Any

from aiohttp import web

from api_types import EVENT_STREAM, ApiError, ErrorCode, EventsQuery, TaskQuery, TaskRequest
from http_shell import Call, json_answer
from narration_core import current_scope
from orchestratord.http.handlers import Context
from orchestratord.http.services import Submission
from orchestratord.http.sse import Streamed, give

LAST_EVENT_ID = "Last-Event-ID"
LAST_EVENT_ID_MAX_DIGITS = 18


def admit(context: Context, call: Call[Any, Any], request: TaskRequest) -> Submission:
    """Submit the task that a call asks for, whichever dialect it speaks; raises ApiError."""
    started = time.perf_counter()
    scope = current_scope()
    submission = context.services.tasks.submit(
        request,
        identity=call.identity,
        correlation_id=call.correlation_id,
        size_bytes=call.size_bytes,
        # For the engine to continue.
        traceparent=None if scope is None or scope.trace is None else scope.trace.header(),
    )
    context.services.observer.task_admitted((time.perf_counter() - started) * 1000)
    return submission


async def create_task(context: Context, call: Call[None, TaskRequest]) -> web.StreamResponse:
    """Admit a task; its answer is a 202 or, where Accept asks for it, its stream."""
    return await give(context, call, begin_task(context, call))


def begin_task(context: Context, call: Call[None, TaskRequest]) -> web.Response | Streamed:
    """Decide on the answer of `create_task`."""
    submission = admit(context, call, call.body)
    task_id = submission.task_id
    headers = {**submission.headers, **_task_headers(task_id)}
    if call.answer_type != EVENT_STREAM:
        return json_answer(submission.accepted, status=202, headers=headers)
    cursor = context.services.tasks.open_stream(
        task_id, identity=call.identity, last_event_id=None, verbose=False, one_request=True
    )
    if cursor is None:
        raise AssertionError("a stream from its start always has its terminal frame to come")
    return Streamed(cursor, headers)


async def stream_task_events(context: Context, call: Call[EventsQuery, None]) -> web.StreamResponse:
    """Stream the events of a task from its start, or from what the client read last."""
    return await give(context, call, begin_events(context, call))


def begin_events(context: Context, call: Call[EventsQuery, None]) -> web.Response | Streamed:
    """Decide on the answer of `stream_task_events`."""
    task_id = call.path["task_id"]
    cursor = context.services.tasks.open_stream(
        task_id,
        identity=call.identity,
        last_event_id=_last_event_id(call.request),
        verbose=call.query.verbose,
    )
    if cursor is None:
        return web.Response(status=204)
    return Streamed(cursor, _task_headers(task_id))


async def get_task(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """Tell where a task stands."""
    return json_answer(context.services.tasks.status(call.path["task_id"], identity=call.identity))


async def list_tasks(context: Context, call: Call[TaskQuery, None]) -> web.StreamResponse:
    """List the caller's tasks, newest first."""
    page = context.services.tasks.list_tasks(
        identity=call.identity,
        state=call.query.state,
        limit=call.query.limit,
        cursor=call.query.cursor,
    )
    return json_answer(page)


async def cancel_task(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """Stop a task; idempotent."""
    context.services.tasks.cancel(call.path["task_id"], identity=call.identity)
    return web.Response(status=204)


async def get_session(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """Tell the counters and budgets of a session."""
    return json_answer(
        context.services.tasks.session(call.path["session_id"], identity=call.identity)
    )


async def delete_session(context: Context, call: Call[None, None]) -> web.StreamResponse:
    """Forget a session."""
    context.services.tasks.delete_session(call.path["session_id"], identity=call.identity)
    return web.Response(status=204)


def _task_headers(task_id: str) -> dict[str, str]:
    return {"Location": f"/v2/tasks/{task_id}", "X-Task-Id": task_id}


def _last_event_id(request: web.Request) -> int | None:
    given = request.headers.getall(LAST_EVENT_ID, [])
    if not given:
        return None
    text = given[0].strip()
    if (
        len(given) > 1
        or not (text.isascii() and text.isdigit())
        or len(text) > LAST_EVENT_ID_MAX_DIGITS
    ):
        raise ApiError(
            ErrorCode.INVALID_PARAMS, f"{LAST_EVENT_ID}: must be the id of a frame, a whole number"
        )
    return int(text)
