"""Takes a file that is on this disk into the catalog: header, digest, entry. Blocks."""

from collections.abc import Callable
from pathlib import Path

from api_types import PreparationStep
from catalog_core import (
    Catalog,
    CatalogError,
    DigestMismatchError,
    FileStamp,
    GgufHeader,
    ModelEntry,
    ModelFileError,
    ModelRef,
    ModelState,
    RefScheme,
    derive_model_id,
    file_digest,
    read_gguf_header,
)

STEP_KIND = "verify_model"
_REPORTS = 100
"""At most so many reports on one file."""


def take_in(
    catalog: Catalog,
    path: Path,
    expected_digest: str | None,
    *,
    now_ms: Callable[[], int],
    report: Callable[[PreparationStep], None],
    check: Callable[[], None],
) -> ModelEntry:
    """The file's Active entry; `check` is called between chunks and may raise to stop the work."""
    progress = _Progress(path, report)
    try:
        header, digest, stamp = _examine(catalog, path, progress, check)
        if expected_digest not in {None, digest}:
            raise DigestMismatchError(path, expected=str(expected_digest), found=digest)
        check()
    except CatalogError:
        progress.tell("failed")
        raise

    def make(known: ModelEntry | None, taken: frozenset[str]) -> ModelEntry:
        now = now_ms()
        return ModelEntry(
            id=known.id if known else derive_model_id(path.name, taken),
            reference=str(ModelRef(RefScheme.FILE, str(path))),
            path=path,
            digest=digest,
            size_bytes=stamp.size_bytes,
            header=header,
            stamp=stamp,
            state=ModelState.ACTIVE,
            pinned=known.pinned if known else False,
            created_ms=known.created_ms if known else now,
            last_used_ms=known.last_used_ms if known else now,
        )

    entry = catalog.enter(path, make)
    progress.done_bytes = entry.size_bytes
    progress.tell("done")
    return entry


def _examine(
    catalog: Catalog, path: Path, progress: "_Progress", check: Callable[[], None]
) -> tuple[GgufHeader, str, FileStamp]:
    def on_chunk(done_bytes: int) -> None:
        check()
        progress.advance(done_bytes)

    try:
        stamp = FileStamp.of(path)
        progress.total_bytes = stamp.size_bytes
        progress.tell("running")
        known = catalog.locate(path)
        if known is not None and known.stamp == stamp:
            return known.header, known.digest, stamp
        header = read_gguf_header(path)
        digest = file_digest(path, on_chunk=on_chunk)
        is_unchanged = FileStamp.of(path) == stamp
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or error}"
        raise ModelFileError(
            path, reason, advice="Check the path and its permissions.", retriable=True
        ) from error
    if not is_unchanged:
        raise ModelFileError(
            path,
            "it changed while it was read",
            advice="Try again when it is complete.",
            retriable=True,
        )
    return header, digest, stamp


class _Progress:
    """Turns bytes read into reports that are not too many."""

    def __init__(self, path: Path, report: Callable[[PreparationStep], None]) -> None:
        self._path = path
        self._report = report
        self._told_bytes = 0
        self.total_bytes: int | None = None
        self.done_bytes = 0

    def advance(self, done_bytes: int) -> None:
        self.done_bytes = done_bytes
        if (done_bytes - self._told_bytes) * _REPORTS >= (self.total_bytes or 0):
            self.tell("running")

    def tell(self, status: str) -> None:
        self._told_bytes = self.done_bytes
        self._report(
            PreparationStep.model_validate(
                {
                    "id": f"{STEP_KIND}:{self._path.name}",
                    "kind": STEP_KIND,
                    "description": f"Check {self._path.name} and take its digest",
                    "status": status,
                    "bytes_total": self.total_bytes,
                    "bytes_done": self.done_bytes,
                }
            )
        )
