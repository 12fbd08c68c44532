"""One piece of work on a model and all who wait for it."""

import asyncio
from collections.abc import Awaitable, Callable

from api_types import PreparationStep
from catalog_core import ModelEntry

Progress = Callable[[PreparationStep], None]
Work = Callable[[Progress], Awaitable[ModelEntry]]


class Job:
    """Runs while anybody waits, and is cancelled when the last one has left."""

    def __init__(self, work: Work) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._listeners: list[Progress] = []
        self._latest: PreparationStep | None = None
        # Watched by those who join; it may outlive each of them, so no TaskGroup of theirs fits.
        self._outcome = self._loop.create_task(self._run(work))
        # Work that was deserted ends with an error that nobody is there to see.
        self._outcome.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def is_deserted(self) -> bool:
        """Whether nobody waits any more."""
        return not self._waiting

    def join(self, listener: Progress | None) -> None:
        """Wait, too, and be told the newest step at once."""
        self._waiting += 1
        if listener is not None:
            self._listeners.append(listener)
            if self._latest is not None:
                listener(self._latest)

    def leave(self, listener: Progress | None) -> None:
        """Wait no longer."""
        self._waiting -= 1
        if listener is not None:
            self._listeners.remove(listener)
        if self.is_deserted:
            self._outcome.cancel()

    async def entry(self) -> ModelEntry:
        """The outcome; a waiter that is cancelled does not cancel the work for the others."""
        await asyncio.wait((self._outcome,))
        return self._outcome.result()

    async def _run(self, work: Work) -> ModelEntry:
        return await work(self._report)

    def _report(self, step: PreparationStep) -> None:
        """Called from the loop and from threads alike."""
        self._loop.call_soon_threadsafe(self._publish, step)

    def _publish(self, step: PreparationStep) -> None:
        self._latest = step
        for listener in tuple(self._listeners):
            listener(step)
