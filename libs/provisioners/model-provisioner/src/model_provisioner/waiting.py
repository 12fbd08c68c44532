"""Waiting for threads in a way that survives being cancelled."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


class StoppedError(Exception):
    """Ends a thread's work that nobody waits for any more."""


class StopSign:
    """Asks the work of a thread to end at its next `check`."""

    def __init__(self) -> None:
        self._is_up = threading.Event()

    def raise_it(self) -> None:
        """From now on `check` raises."""
        self._is_up.set()

    def check(self) -> None:
        """Raise StoppedError if the sign is up."""
        if self._is_up.is_set():
            raise StoppedError


async def in_thread(
    call: Callable[[], _Result], *, on_cancel: Callable[[], None] | None = None
) -> _Result:
    """The call's result; a cancel is passed on only when the thread has ended.

    A thread cannot be cancelled. What it works on must not be closed or deleted under it.
    """
    work = asyncio.get_running_loop().run_in_executor(None, call)
    canceled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as error:
            canceled = error
            if on_cancel is not None:
                on_cancel()
    if canceled is not None:
        _ = work.exception()  # Nobody is there to be told.
        raise canceled
    return work.result()
