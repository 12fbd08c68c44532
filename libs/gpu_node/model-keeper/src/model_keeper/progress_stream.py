"""The event stream of a pull: `progress` events, then `model` or `error`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

from aiohttp import web
from pydantic import BaseModel

from api_types import EVENT_STREAM, ApiError, ModelView, PreparationStep
from http_shell import Call, ErrorMap

_Step: TypeAlias = PreparationStep | ModelView
KEEP_ALIVE_S = 15.0
"""After how much silence the stream gets a comment line."""
KEEP_ALIVE = b": keep-alive\n\n"
FIRST_WAIT_S = 5.0
"""How long the status waits for news, so that what fails at once is answered as an error."""


async def stream_pull(
    call: Call[Any, Any],
    steps: AsyncIterator[_Step],
    errors: ErrorMap,
    *,
    keep_alive_s: float,
) -> web.StreamResponse:
    """Write steps as they come. Raises ApiError for what fails before there is anything to tell."""
    news = _next(steps)
    try:
        await asyncio.wait((news,), timeout=FIRST_WAIT_S)
        if news.done():
            news.result()
        response = web.StreamResponse(
            headers={
                "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                **call.answer_headers,
            }
        )
        await response.prepare(call.request)
        while True:
            await asyncio.wait((news,), timeout=keep_alive_s)
            if not news.done():
                await response.write(KEEP_ALIVE)
                continue
            try:
                item = news.result()
            except Exception as error:  # noqa: BLE001 - the status is sent: the stream tells it
                told: ApiError = errors.error_of(error)
                await response.write(_event("error", told.body(call.correlation_id)))
                break
            if isinstance(item, ModelView):
                await response.write(_event("model", item))
                break
            await response.write(_event("progress", item))
            news = _next(steps)
        await response.write_eof()
        return response
    finally:
        news.cancel()
        await asyncio.wait((news,))


def _next(steps: AsyncIterator[_Step]) -> asyncio.Task[_Step]:
    async def read() -> _Step:
        return await anext(steps)

    return asyncio.get_running_loop().create_task(read(), name="next step of a pull")


def _event(name: str, data: BaseModel) -> bytes:
    return f"event: {name}\ndata: {data.model_dump_json(exclude_none=True)}\n\n".encode()
