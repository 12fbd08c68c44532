"""Takes a model that is on this disk into the catalog: header, digests, entry. Blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api_types import PreparationStep
from catalog_core import (
    Catalog,
    CatalogError,
    DigestMismatchError,
    FileStamp,
    ModelEntry,
    ModelFacts,
    ModelFile,
    ModelFileError,
    ModelRef,
    ModelState,
    RefScheme,
    derive_model_id,
    digest_of_files,
    file_digest,
    files_of_model,
    read_model,
    shard_names,
)

STEP_KIND = "verify_model"
_REPORTS = 100
"""At most so many reports on one model."""


@dataclass(frozen=True, slots=True)
class _Examined:
    facts: ModelFacts
    files: tuple[ModelFile, ...]
    digest: str


def take_in(
    catalog: Catalog,
    path: Path,
    expected_digest: str | None,
    *,
    now_ms: Callable[[], int],
    report: Callable[[PreparationStep], None],
    check: Callable[[], None],
) -> ModelEntry:
    """The model's Active entry; `check` is called between chunks and may raise to stop the work.

    The path is a file, any part of a split model, or a folder.
    """
    path = _main_path(path)
    progress = _Progress(path, report)
    try:
        found = _examine(catalog, path, progress, check)
        if expected_digest not in {None, found.digest}:
            raise DigestMismatchError(path, expected=str(expected_digest), found=found.digest)
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
            format=found.facts.format,
            digest=found.digest,
            size_bytes=sum(file.stamp.size_bytes for file in found.files),
            header=found.facts.header,
            stamp=found.files[0].stamp,
            files=found.files if len(found.files) > 1 else (),
            state=ModelState.ACTIVE,
            pinned=known.pinned if known else False,
            created_ms=known.created_ms if known else now,
            last_used_ms=known.last_used_ms if known else now,
        )

    entry = catalog.enter(path, make)
    progress.done_bytes = entry.size_bytes
    progress.tell("done")
    return entry


def _main_path(path: Path) -> Path:
    """What an engine is given: the first part of a split model; of safetensors the folder."""
    if path.is_dir():
        return min(path.glob("*.gguf"), default=path)
    return path.with_name(shard_names(path.name)[0])


def _examine(
    catalog: Catalog, path: Path, progress: "_Progress", check: Callable[[], None]
) -> _Examined:
    try:
        paths = files_of_model(path)
        stamps = [FileStamp.of(each) for each in paths]
        progress.total_bytes = sum(stamp.size_bytes for stamp in stamps)
        progress.tell("running")
        known = catalog.locate(path)
        if known is not None and [file.stamp for file in known.all_files()] == stamps:
            facts = ModelFacts(path=path, format=known.format, header=known.header)
            return _Examined(facts, known.all_files(), known.digest)
        root = path if path.is_dir() else path.parent
        facts = read_model(root, paths)
        digests: dict[str, str] = {}
        read_bytes = 0
        for each, stamp in zip(paths, stamps, strict=True):

            def on_chunk(done_bytes: int, read_bytes: int = read_bytes) -> None:
                check()
                progress.advance(read_bytes + done_bytes)

            digests[str(each.relative_to(root))] = file_digest(each, on_chunk=on_chunk)
            read_bytes += stamp.size_bytes
        is_unchanged = [FileStamp.of(each) for each in paths] == stamps
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or error}"
        raise ModelFileError(
            Path(error.filename or path),
            reason,
            advice="Check the path and its permissions.",
            retriable=True,
        ) from error
    if not is_unchanged:
        raise ModelFileError(
            path,
            "it changed while it was read",
            advice="Try again when it is complete.",
            retriable=True,
        )
    files = tuple(
        ModelFile(path=each, digest=digest, stamp=stamp)
        for each, digest, stamp in zip(paths, digests.values(), stamps, strict=True)
    )
    return _Examined(facts, files, digest_of_files(digests))


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
