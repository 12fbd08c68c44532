"""Where fetched models lie, and where they lie while they are not whole yet. Blocks.

    base/.partial/KEY/             one fetch: `fetch.json` and `files/`, whole files and `*.part`
    base/.partial/KEY.lock         held by the process that fetches
    base/NAME-KEY/                 a model, renamed from `files/` in one step

KEY is taken from the reference, so that the same model is found again by anybody.
"""

import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalog_core import ModelRef, derive_model_id
from model_provisioner.partial import SUFFIX

_RECEIPT = ".llorch-fetch.json"


class FileNote(BaseModel):
    """What is known of a file while it is fetched, and stays known of it afterwards."""

    model_config = ConfigDict(frozen=True)

    validator: str | None = None
    """Tells the source which version the beginning is of."""
    promised_digest: str | None = None
    digest: str | None = None
    """Once the file is whole."""


class FetchNotes(BaseModel):
    """The notes of one fetch, by file name."""

    reference: str
    files: dict[str, FileNote] = Field(default_factory=dict)


class FetchPlace:
    """The places of one reference."""

    def __init__(self, base: Path, reference: ModelRef) -> None:
        key = hashlib.sha256(str(reference).encode()).hexdigest()[:12]
        self.base = base
        self.reference = reference
        self.folder = base / f"{derive_model_id(reference.name)[:50]}-{key}"
        self.partial = base / ".partial" / key
        self.files = self.partial / "files"
        self._lock_path = base / ".partial" / f"{key}.lock"
        self._lock: BinaryIO | None = None

    def try_claim(self) -> bool:
        """Hold the lock that all processes share, until `release` or the end of this one."""
        self.partial.mkdir(parents=True, exist_ok=True)
        self._lock = _try_lock(self._lock_path)
        return self._lock is not None

    def release(self) -> None:
        """Let others fetch; the lock file stays, since to remove it would let two in at once."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            with suppress(OSError):
                self.partial.rmdir()  # Only if nothing is left in it.

    def arrived_bytes(self) -> int:
        """How much has arrived by now, also if another process fetches it."""
        return sum(stat.st_size for stat in _stats(self.files))

    def read_notes(self, folder: Path | None = None) -> FetchNotes:
        """The notes of an interrupted fetch, or those in a finished folder; damaged ones: none."""
        path = self.partial / "fetch.json" if folder is None else folder / _RECEIPT
        with suppress(OSError, ValidationError):
            notes = FetchNotes.model_validate_json(path.read_bytes())
            if notes.reference == str(self.reference):
                return notes
        return FetchNotes(reference=str(self.reference))

    def write_notes(self, notes: FetchNotes) -> None:
        """Replace the notes in one step."""
        draft = self.partial / "fetch.json.draft"
        draft.write_text(notes.model_dump_json())
        draft.replace(self.partial / "fetch.json")

    def discard(self) -> None:
        """Forget all that has arrived."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def admit(self, notes: FetchNotes) -> None:
        """Turn the whole files into a model's folder; what lay there before is deleted."""
        for stray in self.files.rglob(f"*{SUFFIX}"):
            stray.unlink()
        with (self.files / _RECEIPT).open("w") as receipt:
            receipt.write(notes.model_dump_json())
            receipt.flush()
            os.fsync(receipt.fileno())
        for folder in (self.files, *(path for path in self.files.rglob("*") if path.is_dir())):
            _sync(folder)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.files.replace(self.folder)
        _sync(self.base)
        self.discard()


def discard_partials(base: Path, *, before_s: float) -> int:
    """Delete what interrupted fetches left and nobody went on with since; the bytes freed.

    `before_s` is in seconds since 1970, as the times of files are.
    """
    freed_bytes = 0
    for partial in (base / ".partial").glob("*/"):
        lock = _try_lock(partial.with_name(f"{partial.name}.lock"))
        if lock is None:
            continue
        with lock:
            stats = _stats(partial)
            if all(stat.st_mtime < before_s for stat in stats):
                freed_bytes += sum(stat.st_size for stat in stats)
                shutil.rmtree(partial, ignore_errors=True)
    return freed_bytes


def _stats(folder: Path) -> list[os.stat_result]:
    """Of all files below; those that vanish meanwhile are left out."""
    stats = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                stats.append(path.stat())
    return stats


def _try_lock(path: Path) -> BinaryIO | None:
    """The open file that holds the lock, or None if somebody else does."""
    lock = path.open("ab")
    try:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
