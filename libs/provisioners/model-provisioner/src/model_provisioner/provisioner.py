"""Brings models to this disk, one piece of work a model however many ask for it."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from api_types import PreparationStep
from catalog_core import Catalog, ModelEntry, ModelRef, parse_digest
from model_provisioner.intake import take_in
from model_provisioner.settings import FetchSettings

Progress = Callable[[PreparationStep], None]
_Key = tuple[Path, str | None]


class ModelProvisioner:
    """Ensures that a referenced model is on disk, verified and in the catalog.

    The work runs in a thread and belongs to all who wait for it: it stops when the last of them
    is cancelled. `base` is where relative paths start; `now_ms` is read when an entry is made.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        base: Path,
        now_ms: Callable[[], int],
        fetch: FetchSettings | None = None,
    ) -> None:
        self._fetch = fetch
        self._catalog = catalog
        self._base = base
        self._now_ms = now_ms
        self._jobs: dict[_Key, _Job] = {}

    async def ensure(
        self,
        reference: str | ModelRef,
        *,
        expected_digest: str | None = None,
        on_progress: Progress | None = None,
    ) -> ModelEntry:
        """The model's Active entry, made now if need be; an id in the catalog is a reference too.

        Raises a CatalogError: ModelReferenceError, ModelFileError, DigestMismatchError or
        CatalogStoreError. `on_progress` is called on the event loop.
        """
        expected = None if expected_digest is None else parse_digest(expected_digest)
        key = (await asyncio.to_thread(self._resolve, reference), expected)
        if key not in self._jobs:
            self._jobs[key] = _Job(self._catalog, *key, now_ms=self._now_ms)
        job = self._jobs[key]
        try:
            job.join(on_progress)
            return await job.entry()
        finally:
            job.leave(on_progress)
            if job.is_deserted and self._jobs.get(key) is job:
                del self._jobs[key]

    def _resolve(self, reference: str | ModelRef) -> Path:
        if isinstance(reference, str):
            known = self._catalog.locate(reference)
            if known is not None:
                return known.path
            reference = ModelRef.parse(reference)
        return reference.resolve(self._base)


class _DesertedError(Exception):
    """Ends work that nobody waits for any more."""


class _Job:
    """One file being taken in, and those who wait for it."""

    def __init__(
        self, catalog: Catalog, path: Path, expected: str | None, *, now_ms: Callable[[], int]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._deserted = threading.Event()
        self._waiting = 0
        self._listeners: list[Progress] = []
        self._latest: PreparationStep | None = None

        def work() -> ModelEntry:
            return take_in(
                catalog, path, expected, now_ms=now_ms, report=self._report, check=self._check
            )

        self._outcome = self._loop.run_in_executor(None, work)
        # Work that was deserted ends with an error that nobody is there to see.
        self._outcome.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def is_deserted(self) -> bool:
        return self._deserted.is_set()

    def join(self, listener: Progress | None) -> None:
        self._waiting += 1
        if listener is not None:
            self._listeners.append(listener)
            if self._latest is not None:
                listener(self._latest)

    def leave(self, listener: Progress | None) -> None:
        self._waiting -= 1
        if listener is not None:
            self._listeners.remove(listener)
        if not self._waiting:
            self._deserted.set()

    async def entry(self) -> ModelEntry:
        # Unlike awaiting it, waiting for a future does not cancel it when a waiter is cancelled.
        await asyncio.wait((self._outcome,))
        return self._outcome.result()

    def _check(self) -> None:
        if self._deserted.is_set():
            raise _DesertedError

    def _report(self, step: PreparationStep) -> None:
        self._loop.call_soon_threadsafe(self._publish, step)

    def _publish(self, step: PreparationStep) -> None:
        self._latest = step
        for listener in tuple(self._listeners):
            listener(step)
