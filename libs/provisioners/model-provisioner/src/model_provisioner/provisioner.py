"""Brings models to this disk, one piece of work a model however many ask for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path

from api_types import PreparationStep
from catalog_core import (
    Catalog,
    ModelEntry,
    ModelRef,
    ModelReferenceError,
    RefScheme,
    parse_digest,
)
from model_provisioner.fetch import Fetch
from model_provisioner.intake import take_in
from model_provisioner.jobs import Job, Progress
from model_provisioner.settings import FetchSettings
from model_provisioner.store import FetchPlace, discard_partials
from model_provisioner.waiting import StopSign, in_thread

_Target = Path | ModelRef
"""A path on this disk, or a reference to fetch."""


class ModelProvisioner:
    """Ensures that a referenced model is on disk, verified and in the catalog.

    The work belongs to all who wait for it: it stops when the last of them is cancelled, and what
    was downloaded until then is gone on with the next time. `base` is where relative paths start
    and where fetched models are kept; `now_ms` is read when an entry is made. Without `fetch`
    only `file:` references are served.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        base: Path,
        now_ms: Callable[[], int],
        fetch: FetchSettings | None = None,
    ) -> None:
        self._catalog = catalog
        self._base = base
        self._now_ms = now_ms
        self._fetch = fetch
        self._jobs: dict[tuple[_Target, str | None], Job] = {}

    async def ensure(
        self,
        reference: str | ModelRef,
        *,
        expected_digest: str | None = None,
        on_progress: Progress | None = None,
    ) -> ModelEntry:
        """The model's Active entry, made now if need be; an id in the catalog is a reference too.

        Raises a CatalogError (ModelReferenceError, ModelFileError, DigestMismatchError,
        CatalogStoreError) or a FetchError (NetworkRefusedError, SourceError, SourceMissingError,
        DiskFullError). `on_progress` is called on the event loop.
        """
        expected = None if expected_digest is None else parse_digest(expected_digest)
        key = (await asyncio.to_thread(self._resolve, reference), expected)
        if key not in self._jobs:
            self._jobs[key] = Job(partial(self._work, *key))
        job = self._jobs[key]
        try:
            job.join(on_progress)
            return await job.entry()
        finally:
            job.leave(on_progress)
            if job.is_deserted and self._jobs.get(key) is job:
                del self._jobs[key]

    async def pull(
        self, reference: str | ModelRef, *, expected_digest: str | None = None
    ) -> AsyncGenerator[PreparationStep | ModelEntry]:
        """The steps of `ensure` as they come, for a progress bar or a stream; the entry is last.

        Steps are skipped while the reader is slow. Leaving the loop early counts as a cancel; close
        the iterator then (`contextlib.aclosing`).
        """
        steps: list[PreparationStep] = []
        news = asyncio.Event()

        def on_progress(step: PreparationStep) -> None:
            steps[:] = [step]
            news.set()

        work = asyncio.get_running_loop().create_task(
            self.ensure(reference, expected_digest=expected_digest, on_progress=on_progress)
        )
        work.add_done_callback(lambda _: news.set())
        try:
            while True:
                await news.wait()
                news.clear()
                if steps:
                    yield steps.pop()
                elif work.done():
                    yield work.result()
                    return
                if work.done():
                    news.set()
        finally:
            work.cancel()
            await asyncio.wait((work,))
            # Whoever left early does not want to know how it ended.
            _ = work.cancelled() or work.exception()

    def preparing(self) -> frozenset[str]:
        """The references being worked on, for those who must not delete such a model."""
        return frozenset(
            str(target if isinstance(target, ModelRef) else ModelRef(RefScheme.FILE, str(target)))
            for target, _ in self._jobs
        )

    async def discard_partials(self, *, idle_s: float) -> int:
        """Delete what interrupted fetches left so long ago; the bytes freed. Running ones stay."""
        before_s = self._now_ms() / 1000 - idle_s
        return await in_thread(partial(discard_partials, self._base, before_s=before_s))

    async def _work(self, target: _Target, expected: str | None, report: Progress) -> ModelEntry:
        if isinstance(target, Path):
            return await self._take_in(target, expected, report)
        if self._fetch is None:
            raise ModelReferenceError(
                str(target),
                f"this program does not fetch from {target.scheme}:, only from file: "
                "Download the model and name its file.",
            )
        place = FetchPlace(self._base, target)
        return await Fetch(
            self._catalog,
            place,
            self._fetch,
            expected_digest=expected,
            now_ms=self._now_ms,
            report=report,
        ).run()

    async def _take_in(self, path: Path, expected: str | None, report: Progress) -> ModelEntry:
        sign = StopSign()
        call = partial(
            take_in,
            self._catalog,
            path,
            expected,
            now_ms=self._now_ms,
            report=report,
            check=sign.check,
        )
        return await in_thread(call, on_cancel=sign.raise_it)

    def _resolve(self, reference: str | ModelRef) -> _Target:
        known = self._catalog.locate(str(reference))
        if known is None:
            if isinstance(reference, str):
                reference = ModelRef.parse(reference)
            if reference.scheme is not RefScheme.FILE:
                return reference
            path = reference.resolve(self._base)
            known = self._catalog.locate(path)
            if known is None:
                return path
        # A model that was fetched stays one, also when its file is named.
        return known.path if known.store_path is None else ModelRef.parse(known.reference)
