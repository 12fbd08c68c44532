"""When a request that was given up has left its engine, as far as that can be known.

Closing the connection is all that the dialect has for it. The engine's own close that follows says
that it has seen this; whether its work has ended, only a count of its work can tell. No request
bears a mark there, so the count is compared with what we ourselves have under way, twice, since a
count may be older than what it should show: sure only while nobody else uses the engine.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from adapter_api import AdapterError, EngineUnreachable
from worker_http.connection import Departure

_POLL_S = 0.02
_CLEAN_ANSWERS = 2


class Load(NamedTuple):
    """What an engine counts of its own work."""

    busy: int
    """Requests that run, and those that wait where they are counted."""
    all_counted: bool = True
    """Whether none can wait beside those."""


async def wait_until_gone(
    departure: Departure,
    *,
    load: Callable[[], Awaitable[Load | None]],
    own: Callable[[], int],
    alone: bool,
    timeout_ms: int,
) -> bool:
    """Whether the engine let go; the caller bounds the wait.

    `load` gives None where the engine counts nothing: then its close must do. `own` is how many
    of our requests it has begun; `alone` says that the engine itself, not a relay, refuses when
    it refuses a connection.
    """
    acknowledged = await departure.acknowledged(timeout_ms=timeout_ms)
    clean = 0
    while clean < _CLEAN_ANSWERS:
        try:
            counted = await load()
        except AdapterError as error:
            if alone and _is_refusal(error):
                return True
            counted = Load(busy=own() + 1)
        if counted is None:
            return acknowledged
        idle = counted.busy <= own() and (acknowledged or counted.all_counted)
        clean = clean + 1 if idle else 0
        await asyncio.sleep(_POLL_S)
    return True


def _is_refusal(error: AdapterError) -> bool:
    return isinstance(error, EngineUnreachable) and isinstance(
        error.__cause__, ConnectionRefusedError
    )
