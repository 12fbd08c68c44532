"""When a request that was given up has left its engine for certain.

llama.cpp does not say which slot serves a stream: `id_slot` is -1 in every event but the last.
So each request carries a mark that `/slots` shows: a number of its own in `dry_allowed_length`,
which has no effect while the DRY sampler is off. A slot that works and bears the mark is ours,
whoever else uses the engine.

`/slots` does not show a request that waits for a slot, nor one that is still being read. Of that
one only its connection tells: we close our half, and the engine closes the other when its handler
ends, which withdraws the request. That withdrawal and `/slots` are jobs of one queue that puts the
newest first, so the first answer may be older than the withdrawal: two clean ones are asked for.
Where no half-close exists (TLS, a relay) an idle slot shows that nothing waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from adapter_api import AdapterError, EngineUnreachable
from llamacpp_http.wire import Slot
from worker_http import Departure

POLL_S = 0.01
_CLEAN_ANSWERS = 2


@dataclass(frozen=True, slots=True)
class LeftRun:
    """A request that was given up."""

    mark: int | None
    """None for requests that cannot carry one: embeddings and rerank."""
    in_slot: bool
    departure: Departure


async def wait_until_gone(
    run: LeftRun, slots: Callable[[], Awaitable[Sequence[Slot]]], *, alone: bool, timeout_ms: int
) -> None:
    """Return when the engine has let go; the caller bounds the wait.

    `alone` says that the engine itself, not a relay, refuses when it refuses a connection.
    """
    withdrawn = False
    if run.mark is None or not run.in_slot:
        withdrawn = await run.departure.acknowledged(timeout_ms=timeout_ms)
    clean = 0
    while True:
        try:
            clean = clean + 1 if _is_clean(run, await slots(), withdrawn) else 0
        except AdapterError as error:
            if alone and _is_refusal(error):
                return
            clean = 0
        if clean == _CLEAN_ANSWERS:
            return
        if clean == 0:
            await asyncio.sleep(POLL_S)


def _is_clean(run: LeftRun, slots: Sequence[Slot], withdrawn: bool) -> bool:
    busy = [slot for slot in slots if slot.is_processing]
    if run.mark is None:
        return withdrawn or not busy
    if any(slot.params is not None and slot.params.dry_allowed_length == run.mark for slot in busy):
        return False
    return run.in_slot or withdrawn or len(busy) < len(slots)


def _is_refusal(error: AdapterError) -> bool:
    return isinstance(error, EngineUnreachable) and isinstance(
        error.__cause__, ConnectionRefusedError
    )
