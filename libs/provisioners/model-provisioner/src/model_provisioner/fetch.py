"""Brings a model from its source to this disk and enters it, once for all who ask at once."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from api_types import PreparationStep
from catalog_core import (
    Catalog,
    DigestMismatchError,
    FileStamp,
    ModelEntry,
    ModelFacts,
    ModelFile,
    ModelState,
    derive_model_id,
    digest_of_files,
    file_digest,
    read_model,
)
from model_provisioner.download import Download, disk_error, require_room
from model_provisioner.errors import SourceError
from model_provisioner.progress import FetchProgress
from model_provisioner.retries import InterruptedFetchError, Patience
from model_provisioner.settings import FetchSettings
from model_provisioner.sources import RemoteFile, Source, open_source
from model_provisioner.store import FetchNotes, FetchPlace, FileNote
from model_provisioner.waiting import StopSign, in_thread
from model_provisioner.web import shown

_LOOK_S = 0.2
"""How often to look whether another process has finished."""


class Fetch:
    """One reference on its way to this disk."""

    def __init__(
        self,
        catalog: Catalog,
        place: FetchPlace,
        settings: FetchSettings,
        *,
        expected_digest: str | None,
        now_ms: Callable[[], int],
        report: Callable[[PreparationStep], None],
    ) -> None:
        self._catalog = catalog
        self._place = place
        self._settings = settings
        self._expected = expected_digest
        self._now_ms = now_ms
        self._progress = FetchProgress(shown(str(place.reference)), report)

    async def run(self) -> ModelEntry:
        """The model's Active entry, its files whole and of the digest that was asked for."""
        try:
            async with self._claimed():
                sign = StopSign()
                look = partial(self._present, sign.check)
                entry = await in_thread(look, on_cancel=sign.raise_it)
                if entry is None:
                    await self._bring()
                    entry = await in_thread(self._enter_folder)
                self._require_expected(entry.digest)
        except OSError as error:
            self._progress.tell("failed")
            raise disk_error(self._place, self._settings, error) from error
        except Exception:
            self._progress.tell("failed")
            raise
        self._progress.total_bytes = entry.size_bytes
        self._progress.at(entry.size_bytes)
        self._progress.tell("done")
        return entry

    @asynccontextmanager
    async def _claimed(self) -> AsyncIterator[None]:
        """Wait for a process that fetches the same, as long as more arrives."""
        loop = asyncio.get_running_loop()
        arrived, since_s = -1, loop.time()
        try:
            while not await in_thread(self._place.try_claim):
                now = await in_thread(self._place.arrived_bytes)
                if now != arrived:
                    arrived, since_s = now, loop.time()
                    self._progress.at(now)
                elif loop.time() - since_s > self._settings.idle_timeout_s:
                    raise SourceError(
                        shown(str(self._place.reference)),
                        f"another process fetches it, but for {self._settings.idle_timeout_s} s "
                        "nothing arrived",
                        retriable=True,
                    )
                await asyncio.sleep(_LOOK_S)
            yield
        finally:
            self._place.release()

    def _present(self, check: Callable[[], None]) -> ModelEntry | None:
        """The model if it lies here whole already; what is damaged is deleted."""

        def is_as_noted(path: Path, note: FileNote) -> bool:
            return path.is_file() and file_digest(path, on_chunk=lambda _: check()) == note.digest

        known = self._catalog.locate(str(self._place.reference))
        if known is not None and all(_is_unchanged(file) for file in known.all_files()):
            if known.state is ModelState.RETIRED:
                return self._catalog.set_state(known.id, ModelState.ACTIVE)
            return known
        folder = self._place.folder
        if not folder.exists():
            return None
        # A crash came before the entry was made, or a file was touched.
        notes = self._place.read_notes(folder)
        if notes.files and all(
            is_as_noted(folder / name, note) for name, note in notes.files.items()
        ):
            return self._enter_folder()
        shutil.rmtree(folder)
        return None

    async def _bring(self) -> None:
        sizes: dict[str, int | None] = {}
        arrived: dict[str, int] = {}

        def on_size(name: str, size_bytes: int) -> None:
            sizes[name] = size_bytes
            known = [size for size in sizes.values() if size is not None]
            self._progress.total_bytes = sum(known) if len(known) == len(sizes) else None

        def on_bytes(name: str, size_bytes: int) -> None:
            arrived[name] = size_bytes
            self._progress.at(sum(arrived.values()))

        async with open_source(self._place.reference, self._settings) as source:
            self._progress.tell("running")
            files = await self._listed(source)
            sizes.update({file.name: file.size_bytes for file in files})
            download = Download(
                source, self._place, self._settings, on_size=on_size, on_bytes=on_bytes
            )
            download.notes = await in_thread(self._place.read_notes)
            # Files that an earlier revision had are none of this model's.
            names = {file.name for file in files}
            kept = {name: note for name, note in download.notes.files.items() if name in names}
            download.notes.files = kept
            if all(file.digest for file in files):
                # Refused before the first byte, since the source knows already.
                self._require_expected(
                    digest_of_files({file.name: str(file.digest) for file in files})
                )
            await in_thread(partial(self._require_room, files))
            digests = {file.name: await download.fetch(file) for file in files}
        await in_thread(partial(self._admit, digests, download.notes))

    async def _listed(self, source: Source) -> tuple[RemoteFile, ...]:
        patience = Patience(self._settings)
        while True:
            try:
                return await source.files()
            except InterruptedFetchError as error:
                await asyncio.sleep(patience.pause_s(error))

    def _require_room(self, files: tuple[RemoteFile, ...]) -> None:
        """For all files together, before the first byte of the first one."""
        total = sum(file.size_bytes or 0 for file in files)
        require_room(self._place, self._settings, total - self._place.arrived_bytes())

    def _admit(self, digests: Mapping[str, str], notes: FetchNotes) -> None:
        """Hold what arrived against what was asked for, and only then give it its place."""
        try:
            self._require_expected(digest_of_files(digests))
            read_model(self._place.files, [self._place.files / name for name in digests])
        except Exception:
            # It arrived whole and is wrong: nothing of it is worth going on with.
            self._place.discard()
            raise
        for path in [path for path in self._place.files.rglob("*") if path.is_file()]:
            if str(path.relative_to(self._place.files)) not in digests:
                path.unlink()
        self._place.admit(notes)

    def _enter_folder(self) -> ModelEntry:
        folder = self._place.folder
        notes = self._place.read_notes(folder)
        digests = {name: str(note.digest) for name, note in notes.files.items()}
        facts = read_model(folder, [folder / name for name in digests])
        stamps = {name: FileStamp.of(folder / name) for name in digests}
        return self._catalog.enter(facts.path, partial(self._entry, facts, digests, stamps))

    def _entry(
        self,
        facts: ModelFacts,
        digests: Mapping[str, str],
        stamps: Mapping[str, FileStamp],
        known: ModelEntry | None,
        taken: frozenset[str],
    ) -> ModelEntry:
        now_ms = self._now_ms()
        folder = self._place.folder
        files = tuple(
            ModelFile(path=folder / name, digest=digests[name], stamp=stamps[name])
            for name in sorted(digests)
        )
        return ModelEntry(
            id=known.id if known else derive_model_id(self._place.reference.name, taken),
            reference=str(self._place.reference),
            path=facts.path,
            format=facts.format,
            digest=digest_of_files(digests),
            size_bytes=sum(file.stamp.size_bytes for file in files),
            header=facts.header,
            stamp=files[0].stamp,
            files=files if len(files) > 1 else (),
            store_path=folder,
            pinned=known.pinned if known else False,
            created_ms=known.created_ms if known else now_ms,
            last_used_ms=known.last_used_ms if known else now_ms,
        )

    def _require_expected(self, digest: str) -> None:
        if self._expected not in {None, digest}:
            raise DigestMismatchError(
                self._place.folder, expected=str(self._expected), found=digest
            )


def _is_unchanged(file: ModelFile) -> bool:
    try:
        return FileStamp.of(file.path) == file.stamp
    except OSError:
        return False
