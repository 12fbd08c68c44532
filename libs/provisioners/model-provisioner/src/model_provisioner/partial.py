"""A file on its way: grows at its end, knows its digest, survives an interruption. Blocks."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 4 * 1024 * 1024
SUFFIX = ".part"


class PartialFile:
    """What has arrived so far of one file; its digest is taken as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + SUFFIX)
        self._final = path
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """Of what has arrived."""
        return f"sha256:{self._digest.hexdigest()}"

    def open(self, check: Callable[[], None]) -> None:
        """Begin, or go on after what an earlier process left, which is read for its digest.

        Its last byte is dropped: so there is always something to ask the source for, which says
        then whether the file is still the same one, also if it had arrived as a whole. `check` is
        called between chunks and may raise.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._final.exists():
            self._final.replace(self.path)
        self._file = file = self.path.open("a+b", buffering=0)
        file.truncate(max(0, self.path.stat().st_size - 1))
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            check()
            self._digest.update(chunk)
            self.size_bytes += len(chunk)

    def append(self, data: bytes) -> None:
        """Add to the end; of an OSError, whatever was written before it counts."""
        view = memoryview(data)
        while view:
            written = self._opened.write(view) or 0
            self._digest.update(view[:written])
            self.size_bytes += written
            view = view[written:]

    def restart(self) -> None:
        """Forget what has arrived."""
        self._opened.truncate(0)
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def give_back(self, length: int) -> None:
        """Free that much of the disk for others; what is left can still be gone on with."""
        self._opened.truncate(max(0, self.size_bytes - length))
        self.close()

    def finish(self) -> None:
        """Make the file whole: from now on it bears its own name, whatever happens."""
        os.fsync(self._opened.fileno())
        self.close()
        self.path.replace(self._final)

    def close(self) -> None:
        """Leave it for a later time."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _opened(self) -> BinaryIO:
        if self._file is None:
            msg = f"{self.path} is not open"
            raise ValueError(msg)
        return self._file
