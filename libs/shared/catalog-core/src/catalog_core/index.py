"""The catalog's one file: read and replaced under a lock that all processes share."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from catalog_core.entries import EngineEntry, ModelEntry, Removal
from catalog_core.errors import CatalogStoreError
from catalog_core.migrations import SCHEMA_VERSION, migrate

_LOCK_POLL_S = 0.01
_Result = TypeVar("_Result")


class Index(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[2] = 2
    models: dict[str, ModelEntry] = Field(default_factory=dict)
    engines: tuple[EngineEntry, ...] = ()
    removals: tuple[Removal, ...] = ()

    @model_validator(mode="after")
    def _keys_are_the_ids(self) -> "Index":
        if any(key != entry.id for key, entry in self.models.items()):
            msg = "an entry stands under another id than its own"
            raise ValueError(msg)
        return self


class _Versioned(BaseModel):
    schema_version: int = Field(ge=1)


class IndexFile:
    """The index on disk; a file that cannot be understood is moved aside and told."""

    def __init__(
        self, directory: Path, *, lock_timeout_s: float, on_damage: Callable[[Path, str], None]
    ) -> None:
        self.path = directory / "catalog.json"
        self._lock_timeout_s = lock_timeout_s
        self._on_damage = on_damage

    def read(self) -> Index:
        """The index as it is now. It is replaced atomically, so only damage needs the lock."""
        index = self._parse(self._read_bytes())
        if isinstance(index, Index):
            return index
        with self.locked():
            return self._read_or_move_aside()

    def change(self, edit: Callable[[Index], tuple[Index, _Result]]) -> _Result:
        """Replace the index by what `edit` makes of it; nothing changes if it raises."""
        with self.locked():
            before = self._read_or_move_aside()
            after, result = edit(before)
            if after != before:
                self._replace(after)
            return result

    def damaged(self) -> tuple[Path, ...]:
        """The files that were moved aside and that nobody has taken away since."""
        return tuple(sorted(self.path.parent.glob("catalog.damaged-*.json")))

    def _read_bytes(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CatalogStoreError(
                self.path, f"it cannot be read: {error.strerror}", retriable=True
            ) from error

    def _parse(self, data: bytes | None) -> Index | str:
        """The index, or what is wrong with the bytes."""
        if data is None:
            return Index()
        try:
            version = _Versioned.model_validate_json(data).schema_version
            if version > SCHEMA_VERSION:
                raise CatalogStoreError(
                    self.path,
                    f"schema {version} was written by a newer version; this one knows up to "
                    f"{SCHEMA_VERSION}. Upgrade, or use another directory.",
                    retriable=False,
                )
            if version == SCHEMA_VERSION:
                return Index.model_validate_json(data)
            return Index.model_validate_json(json.dumps(migrate(json.loads(data), version)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            return f"{where}: {first['msg']}" if where else first["msg"]

    def _read_or_move_aside(self) -> Index:
        data = self._read_bytes()
        index = self._parse(data)
        if isinstance(index, Index):
            return index
        name = f"catalog.damaged-{hashlib.sha256(data or b'').hexdigest()[:12]}.json"
        aside = self.path.replace(self.path.with_name(name))
        _sync_directory(self.path.parent)
        self._on_damage(aside, index)
        return Index()

    def _keep_earlier(self) -> None:
        """Before an index of an earlier schema is replaced, keep it for the version that wrote it.

        A second name costs nothing, and the rename that follows leaves the first file alone.
        """
        data = self._read_bytes()
        if data is None:
            return
        version = _Versioned.model_validate_json(data).schema_version
        if version < SCHEMA_VERSION:
            with suppress(FileExistsError):
                self.path.with_name(f"catalog.v{version}.json").hardlink_to(self.path)

    def _replace(self, index: Index) -> None:
        draft = self.path.with_name("catalog.json.draft")
        try:
            self._keep_earlier()
            with draft.open("wb") as file:
                file.write(index.model_dump_json(indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise CatalogStoreError(
                self.path, f"it cannot be written: {error.strerror}", retriable=True
            ) from error

    @contextmanager
    def locked(self, name: str = "catalog.lock", busy: str | None = None) -> Iterator[None]:
        """Hold a lock of this directory; `busy` says why it is not waited for."""
        path = self.path.with_name(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("ab")
        except OSError as error:
            raise CatalogStoreError(
                path, f"it cannot be opened: {error.strerror}", retriable=True
            ) from error
        with lock:
            give_up_s = time.monotonic() + (0 if busy else self._lock_timeout_s)
            while not _try_lock(lock.fileno()):
                if time.monotonic() >= give_up_s:
                    waited = f"another process held the lock for {self._lock_timeout_s} s"
                    raise CatalogStoreError(path, busy or waited, retriable=True)
                time.sleep(_LOCK_POLL_S)
            yield  # Closing the file gives the lock back.


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
