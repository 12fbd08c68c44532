"""Artifacts in a local directory."""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from artifact_store.canonical import (
    artifact_id_of,
    canonical_bytes,
    checked_tags,
    parse_artifact_id,
)
from artifact_store.claims import Claim, Claims, newest_first, view, with_claim
from artifact_store.errors import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    StoreFullError,
    StoreUnavailableError,
)
from artifact_store.types import Artifact, ArtifactId, ArtifactInfo, ArtifactLimits, JsonValue

LOCK_TIMEOUT_S = 10
LOCK_POLL_S = 0.005


class LocalArtifactStore:
    """Keeps artifacts as files, readable by other processes and after any crash.

    `objects/` holds the canonical content, `claims/` who stored it (written last: without a
    claim an artifact does not exist), `tags/` an index of empty files that listings check
    against the claims. Every file appears whole, by rename.
    """

    def __init__(self, directory: Path, limits: ArtifactLimits | None = None) -> None:
        self._directory = directory
        self._limits = limits or ArtifactLimits()

    async def put(
        self, content: JsonValue, *, owner: str, now_ms: int, tags: Iterable[str] = ()
    ) -> ArtifactInfo:
        """Store a value; see `ArtifactStore.put`."""
        taken = checked_tags(tags, self._limits)
        return await asyncio.to_thread(self._put, content, owner, now_ms, taken)

    async def get(self, artifact_id: str, *, owner: str | None = None) -> Artifact:
        """Read one; see `ArtifactStore.get`. ArtifactCorruptError if the file was changed."""
        return await asyncio.to_thread(self._get, parse_artifact_id(artifact_id), owner)

    async def list(
        self, *, tag: str | None = None, owner: str | None = None, limit: int = 100
    ) -> tuple[ArtifactInfo, ...]:
        """List the newest; see `ArtifactStore.list`. Reads the claims of every candidate."""
        return await asyncio.to_thread(self._list, tag, owner, limit)

    def _put(
        self, content: JsonValue, owner: str, now_ms: int, tags: frozenset[str]
    ) -> ArtifactInfo:
        data = canonical_bytes(content, self._limits)
        artifact_id = artifact_id_of(data)
        with _disk_errors(), self._exclusive():
            if self._read_object(artifact_id) != data:
                _write_whole(self._object_path(artifact_id), data)
            claims = with_claim(self._read_claims(artifact_id), owner, tags, now_ms)
            for tag in tags:
                _touch(self._tag_folder(tag) / _digits(artifact_id))
            _write_whole(self._claims_path(artifact_id), _claims_to_bytes(claims))
        return _found(artifact_id, view(artifact_id, len(data), claims, owner))

    def _get(self, artifact_id: ArtifactId, owner: str | None) -> Artifact:
        with _disk_errors():
            claims = self._read_claims(artifact_id)
            data = self._read_object(artifact_id) if claims else None
        info = _found(artifact_id, view(artifact_id, len(data or b""), claims, owner))
        if data is None or artifact_id_of(data) != artifact_id:
            raise ArtifactCorruptError(f"The stored content of {artifact_id} is damaged.")
        return Artifact(info, json.loads(data))

    def _list(self, tag: str | None, owner: str | None, limit: int) -> tuple[ArtifactInfo, ...]:
        found = []
        with _disk_errors():
            for artifact_id in self._candidates(tag):
                size_bytes = _size_bytes(self._object_path(artifact_id))
                info = view(artifact_id, size_bytes, self._read_claims(artifact_id), owner)
                if info is not None and (tag is None or tag in info.tags):
                    found.append(info)
        return tuple(sorted(found, key=newest_first)[:limit])

    def _candidates(self, tag: str | None) -> Iterator[ArtifactId]:
        folder = self._directory / "claims" if tag is None else self._tag_folder(tag)
        for path in folder.glob("??/*" if tag is None else "*"):
            with contextlib.suppress(ArtifactNotFoundError):
                yield parse_artifact_id(f"sha256:{path.name}")

    def _read_object(self, artifact_id: ArtifactId) -> bytes | None:
        try:
            return self._object_path(artifact_id).read_bytes()
        except FileNotFoundError:
            return None

    def _read_claims(self, artifact_id: ArtifactId) -> Claims:
        try:
            data = self._claims_path(artifact_id).read_bytes()
        except FileNotFoundError:
            return {}
        return _claims_from_bytes(artifact_id, data)

    def _object_path(self, artifact_id: ArtifactId) -> Path:
        return self._directory / "objects" / _digits(artifact_id)[:2] / _digits(artifact_id)

    def _claims_path(self, artifact_id: ArtifactId) -> Path:
        return self._directory / "claims" / _digits(artifact_id)[:2] / _digits(artifact_id)

    def _tag_folder(self, tag: str) -> Path:
        return self._directory / "tags" / hashlib.sha256(tag.encode()).hexdigest()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let one writer in at a time, across threads and processes; the kernel frees the lock."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "lock").open("ab") as lock:
            _lock(lock.fileno())
            yield


def _lock(descriptor: int) -> None:
    """Wait for the lock, but not for ever on a writer that was stopped while it held it."""
    give_up_s = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(LOCK_POLL_S)
        else:
            return


def _digits(artifact_id: ArtifactId) -> str:
    return artifact_id.removeprefix("sha256:")


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _found(artifact_id: ArtifactId, info: ArtifactInfo | None) -> ArtifactInfo:
    if info is None:
        raise ArtifactNotFoundError(f"There is no artifact {artifact_id}.")
    return info


def _claims_to_bytes(claims: Claims) -> bytes:
    plain = {
        owner: {"created_ms": claim.created_ms, "tags": sorted(claim.tags)}
        for owner, claim in sorted(claims.items())
    }
    return json.dumps(plain, separators=(",", ":")).encode()


def _claims_from_bytes(artifact_id: ArtifactId, data: bytes) -> Claims:
    try:
        return {
            str(owner): Claim(int(claim["created_ms"]), frozenset(map(str, claim["tags"])))
            for owner, claim in json.loads(data).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactCorruptError(f"The owners of {artifact_id} are unreadable.") from error


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside the target, then rename: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFullError("The disk of the artifact store is full.") from error
        raise StoreUnavailableError(f"The artifact store does not answer: {error}.") from error
