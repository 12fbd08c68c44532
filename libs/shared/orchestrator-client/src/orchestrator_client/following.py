"""Follows one task's stream to its last frame, across cuts."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack
from typing import TypeVar

from orchestrator_client.errors import ConnectionLost, LlamaOrchError, TotalTimeout
from orchestrator_client.events import StreamCursor, TaskEvent
from orchestrator_client.policy import RetryPolicy
from orchestrator_client.sse import SseParser
from orchestrator_client.transport import Call, Transport

T = TypeVar("T")


async def follow(
    transport: Transport,
    *,
    opening: Call,
    resuming: Call,
    reconnect: RetryPolicy,
    last_event_id: int | None = None,
) -> AsyncGenerator[TaskEvent]:
    """Yield every event after `last_event_id` exactly once, the terminal one last.

    `opening` is sent until a first event has come, `resuming` after that, so both must be safe to
    repeat. Backoff grows until the next event; the time that a policy grants runs from a cut
    until the next byte.
    """
    clock = asyncio.get_running_loop().time
    total_s = transport.timeouts.total_s
    deadline = None if total_s is None else clock() + total_s
    cursor = StreamCursor(last_event_id)
    failures, failing_since = 0, None
    while True:
        opened = cursor.last_event_id != last_event_id
        call = (resuming if opened else opening).resumed_from(cursor.last_event_id)
        parser = SseParser()
        try:
            async with AsyncExitStack() as stack:
                read = await _within(deadline, stack.enter_async_context(transport.stream(call)))
                while chunk := await _within(deadline, read()):
                    failing_since = None
                    for frame in parser.feed(chunk):
                        event = cursor.accept(frame)
                        if event is None:
                            continue
                        failures = 0
                        yield event
                        if cursor.ended:
                            return
            raise ConnectionLost(f"{call.path} was closed before its last event")
        except LlamaOrchError as error:
            if not error.retriable:
                raise
            failures += 1
            failing_since = failing_since or clock()
            delay_ms = (reconnect if opened else transport.retry).delay_ms(
                failures,
                elapsed_ms=int((clock() - failing_since) * 1000),
                jitter=random.random(),  # noqa: S311 (spreads load, guards nothing)
                asked_ms=error.retry_after_ms,
            )
            if delay_ms is None and opened:
                raise ConnectionLost(
                    f"no way back to {resuming.path} after event {cursor.last_event_id}: {error}"
                ) from error
            if delay_ms is None:
                raise
        await _within(deadline, asyncio.sleep(delay_ms / 1000))


async def _within(deadline: float | None, work: Awaitable[T]) -> T:
    """Wait for `work` until `deadline` on the loop's clock.

    The transport turns its own timeouts into typed errors, so a TimeoutError here is ours.
    """
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError as error:
        raise TotalTimeout("the stream took longer than total_s allows") from error
