"""Reading the folder: blocking, and cheap where nothing changed."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from handoff_watcher.core import FileReading
from pool_registry_types import HANDOFF_SCHEMA, HandoffPayload

ADOPTED = "adopted"
SUFFIX = ".json"
MAX_FILE_BYTES = 256 * 1024
_SETTLED_NS = 2_000_000_000

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FolderScan:
    """All handoff files, and which folder they were in (None: there is none)."""

    files: dict[str, FileReading]
    folder: tuple[int, int] | None


class HandoffFolder:
    """Reads RUNTIME_DIR and its `adopted/`; files whose stamp is unchanged are not opened."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[str, tuple[Stamp, FileReading]] = {}

    def scan(self, now_ns: int) -> FolderScan:
        """Read all files; a folder that is not there is empty, one that fails is an OSError."""
        known: dict[str, tuple[Stamp, FileReading]] = {}
        for prefix, adopted in (("", False), (f"{ADOPTED}/", True)):
            for name in _json_names(self.directory / prefix):
                self._read(prefix + name, adopted, known, now_ns)
        self._known = known
        files = {name: reading for name, (_, reading) in known.items()}
        return FolderScan(files, _identity(self.directory))

    def adopt(self, moves: tuple[tuple[str, str], ...]) -> None:
        """Move files to `adopted/`; one that somebody removed meanwhile is not missed."""
        folder = self.directory / ADOPTED
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, target in moves:
            try:
                (self.directory / name).replace(folder / target)
            except FileNotFoundError:
                continue

    def _read(
        self, name: str, adopted: bool, known: dict[str, tuple[Stamp, FileReading]], now_ns: int
    ) -> None:
        try:
            status = (self.directory / name).stat()
        except FileNotFoundError:
            return
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        before = self._known.get(name)
        # A second write within the clock's tick leaves the stamp as it is: look again for a while.
        settled = now_ns - status.st_ctime_ns > _SETTLED_NS
        if before is not None and before[0] == stamp and settled:
            known[name] = before
            return
        reading = _reading(self.directory / name, status, adopted=adopted)
        if reading is not None:
            unchanged = before is not None and before[1] == reading
            known[name] = (stamp, before[1] if before is not None and unchanged else reading)


def _json_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _reading(path: Path, status: os.stat_result, *, adopted: bool) -> FileReading | None:
    """Read one file; None if it has gone meanwhile. A FIFO named `x.json` would block for ever."""
    if not stat.S_ISREG(status.st_mode):
        return FileReading(None, "not a regular file", adopted)
    if status.st_size > MAX_FILE_BYTES:
        return FileReading(None, f"larger than {MAX_FILE_BYTES} bytes", adopted)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return FileReading(None, f"cannot be read: {error.strerror}", adopted)
    try:
        payload = HandoffPayload.model_validate_json(data)
    except ValidationError as error:
        return FileReading(None, _reason(error), adopted)
    # Two neighbouring versions understand each other; what lies further ahead may mean more.
    if payload.schema_version > HANDOFF_SCHEMA + 1:
        return FileReading(None, f"schema {payload.schema_version} is too new", adopted)
    return FileReading(payload, None, adopted)


def _reason(error: ValidationError) -> str:
    """Name place and cause of the first problem, never a value: it may be the engine's key."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
