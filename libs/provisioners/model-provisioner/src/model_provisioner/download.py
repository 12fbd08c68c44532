"""Downloads one file: resumes, tries again, keeps the disk from filling."""

import asyncio
import errno
from collections.abc import Callable
from functools import partial as partial_call

from catalog_core import DigestMismatchError
from model_provisioner.errors import DiskFullError, StoreError
from model_provisioner.partial import PartialFile
from model_provisioner.retries import InterruptedFetchError, Patience
from model_provisioner.settings import FetchSettings
from model_provisioner.sources import Body, RemoteFile, Source
from model_provisioner.store import FetchNotes, FetchPlace, FileNote
from model_provisioner.waiting import StopSign, in_thread

_BUFFER_BYTES = 2 * 1024 * 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Download:
    """One fetch's files, one after the other."""

    def __init__(
        self,
        source: Source,
        place: FetchPlace,
        settings: FetchSettings,
        *,
        on_size: Callable[[str, int], None],
        on_bytes: Callable[[str, int], None],
    ) -> None:
        self._source = source
        self._place = place
        self._settings = settings
        self._on_size = on_size
        self._on_bytes = on_bytes
        self.notes = FetchNotes(reference=str(place.reference))

    async def fetch(self, file: RemoteFile) -> str:
        """Bring the file and return its digest; what has arrived before is gone on with.

        Cancelled, or broken off for good, it leaves a partial file for the next time.
        """
        note = self.notes.files.get(file.name, FileNote())
        path = self._place.files / file.name
        if note.digest is not None and note.digest == file.digest and path.exists():
            self._on_bytes(file.name, path.stat().st_size)
            return note.digest
        partial = PartialFile(path)
        sign = StopSign()
        try:
            await in_thread(partial_call(partial.open, sign.check), on_cancel=sign.raise_it)
            if file.digest != note.promised_digest:
                partial.restart()
                note = FileNote(promised_digest=file.digest)
            note = await self._attempt_until_whole(file, partial, note)
            if file.digest not in {None, partial.digest}:
                found = partial.digest
                partial.restart()
                raise DigestMismatchError(path, expected=str(file.digest), found=found)
            await in_thread(partial.finish)
        finally:
            partial.close()
        await self._note(file, note.model_copy(update={"digest": partial.digest}))
        return partial.digest

    async def _attempt_until_whole(
        self, file: RemoteFile, partial: PartialFile, note: FileNote
    ) -> FileNote:
        patience = Patience(self._settings)
        patience.saw(partial.size_bytes)
        while True:
            try:
                async with self._source.open(
                    file, offset_bytes=partial.size_bytes, validator=note.validator
                ) as body:
                    if body.offset_bytes != partial.size_bytes:
                        partial.restart()
                    total = body.total_bytes if body.total_bytes is not None else file.size_bytes
                    if total is not None:
                        self._on_size(file.name, total)
                    require_room(self._place, self._settings, (total or 0) - partial.size_bytes)
                    note = FileNote(validator=body.validator, promised_digest=file.digest)
                    await self._note(file, note)
                    await self._receive(file, partial, body)
                if total is None or partial.size_bytes == total:
                    return note
                reason = f"it sent {partial.size_bytes} bytes of {total}"
                if partial.size_bytes > total:
                    partial.restart()
                raise InterruptedFetchError(file.locator.partition("?")[0], reason)
            except InterruptedFetchError as error:
                patience.saw(partial.size_bytes)
                await asyncio.sleep(patience.pause_s(error))

    async def _receive(self, file: RemoteFile, partial: PartialFile, body: Body) -> None:
        buffer = bytearray()
        try:
            async for chunk in body.chunks:
                buffer += chunk
                if len(buffer) >= _BUFFER_BYTES:
                    data, buffer = bytes(buffer), bytearray()
                    await in_thread(partial_call(self._append, partial, data))
                    self._on_bytes(file.name, partial.size_bytes)
                    if body.total_bytes is None:
                        require_room(self._place, self._settings, 0)
        finally:
            # Also of what broke off, and of a cancelled fetch: it need not come twice.
            self._append(partial, bytes(buffer))
            self._on_bytes(file.name, partial.size_bytes)

    def _append(self, partial: PartialFile, data: bytes) -> None:
        try:
            partial.append(data)
        except OSError as error:
            told = disk_error(self._place, self._settings, error, needed_bytes=len(data))
            if isinstance(told, DiskFullError):
                partial.give_back(self._settings.keep_free_bytes)
            raise told from error

    async def _note(self, file: RemoteFile, note: FileNote) -> None:
        self.notes.files[file.name] = note
        await in_thread(partial_call(self._place.write_notes, self.notes))


def disk_error(
    place: FetchPlace, settings: FetchSettings, error: OSError, *, needed_bytes: int = 0
) -> DiskFullError | StoreError:
    """What a failed write to the disk means."""
    if error.errno not in _NO_ROOM:
        return StoreError(place.base, error.strerror or str(error))
    return DiskFullError(
        place.base,
        needed_bytes=needed_bytes,
        free_bytes=settings.free_bytes(place.base),
        keep_bytes=settings.keep_free_bytes,
    )


def require_room(place: FetchPlace, settings: FetchSettings, needed_bytes: int) -> None:
    """Raise DiskFullError unless so much may be added to the disk."""
    free_bytes = settings.free_bytes(place.base)
    if free_bytes - max(0, needed_bytes) < settings.keep_free_bytes:
        raise DiskFullError(
            place.base,
            needed_bytes=max(0, needed_bytes),
            free_bytes=free_bytes,
            keep_bytes=settings.keep_free_bytes,
        )
