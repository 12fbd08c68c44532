"""The models and engines on this disk, kept in one directory by many processes."""

import os
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from catalog_core.digests import digest_of_files, file_digest
from catalog_core.entries import (
    EngineEntry,
    LastVerification,
    ModelEntry,
    ModelState,
    Verdict,
    Verification,
)
from catalog_core.errors import CatalogStoreError, ModelPinnedError, ModelUnknownError
from catalog_core.index import Index, IndexFile
from catalog_core.removals import Removals

_NEAR_NAMES = 3


def _ignore_damage(_aside: Path, _reason: str) -> None:
    """`damaged` still tells of it."""


class Catalog:
    """Every call reads or replaces the index on disk, so that all processes see the same.

    The calls block on the disk: from asyncio, call them in a thread. Files of models are touched
    by `removals` alone; `delete` leaves them to whoever brought them.
    """

    def __init__(
        self,
        directory: Path,
        *,
        lock_timeout_s: float = 10.0,
        on_damage: Callable[[Path, str], None] = _ignore_damage,
    ) -> None:
        self._file = IndexFile(directory, lock_timeout_s=lock_timeout_s, on_damage=on_damage)
        self.removals = Removals(self._file)

    @property
    def directory(self) -> Path:
        """Where the index is kept."""
        return self._file.path.parent

    def list(self, state: ModelState | None = None) -> tuple[ModelEntry, ...]:
        """The entries by id, all or those of one state."""
        entries = self._file.read().models
        return tuple(entries[key] for key in sorted(entries) if state in {None, entries[key].state})

    def get(self, model_id: str) -> ModelEntry:
        """The entry of that id; an unknown one is told with near names."""
        return _get(self._file.read(), model_id)

    def locate(self, text: str | Path) -> ModelEntry | None:
        """The entry that an id, a reference, a digest or an absolute path means."""
        models = self._file.read().models
        wanted = str(text)
        if wanted in models:
            return models[wanted]
        return next(
            (
                models[key]
                for key in sorted(models)
                if wanted in {models[key].reference, models[key].digest, str(models[key].path)}
            ),
            None,
        )

    def put(self, entry: ModelEntry) -> ModelEntry:
        """Enter or replace the model of that id."""
        return self._store(lambda _: entry)

    def enter(
        self, path: Path, make: Callable[[ModelEntry | None, frozenset[str]], ModelEntry]
    ) -> ModelEntry:
        """Enter what `make` returns while nobody else writes.

        It gets the entry that has this path so far, if any, and the ids that are taken.
        """

        def renew(index: Index) -> ModelEntry:
            known = next((each for each in index.models.values() if each.path == path), None)
            return make(known, frozenset(index.models))

        return self._store(renew)

    def set_state(
        self, model_id: str, state: ModelState, *, now_ms: int | None = None
    ) -> ModelEntry:
        """Offer a model, or offer it no longer; `now_ms` is when it was retired, if known."""

        def changes(entry: ModelEntry) -> dict[str, object]:
            if state is ModelState.ACTIVE:
                return {"state": state, "retired_ms": None}
            since_ms = entry.retired_ms if entry.state is state else None
            return {"state": state, "retired_ms": now_ms if since_ms is None else since_ms}

        return self._update(model_id, changes)

    def retire(self, model_id: str, *, now_ms: int | None = None) -> ModelEntry:
        """Offer a model to no new task."""
        return self.set_state(model_id, ModelState.RETIRED, now_ms=now_ms)

    def date_retired(self, now_ms: int) -> None:
        """Count the time of models retired at an unknown time from now on."""

        def dated(entry: ModelEntry) -> ModelEntry:
            if entry.state is ModelState.ACTIVE or entry.retired_ms is not None:
                return entry
            return entry.model_copy(update={"retired_ms": now_ms})

        def edit(index: Index) -> tuple[Index, None]:
            models = {key: dated(entry) for key, entry in index.models.items()}
            return index.model_copy(update={"models": models}), None

        self._file.change(edit)

    def pin(self, model_id: str, *, pinned: bool = True) -> ModelEntry:
        """Keep a model from being deleted, or no longer."""
        return self._update(model_id, lambda _: {"pinned": pinned})

    def touch(self, model_id: str, now_ms: int) -> ModelEntry:
        """Note a use; an older clock than the last one changes nothing."""
        return self._update(
            model_id, lambda entry: {"last_used_ms": max(entry.last_used_ms, now_ms)}
        )

    def delete(self, model_id: str) -> ModelEntry:
        """Remove an entry that is not pinned, and return it; its file stays."""

        def edit(index: Index) -> tuple[Index, ModelEntry]:
            entry = _get(index, model_id)
            if entry.pinned:
                raise ModelPinnedError(model_id)
            kept = {key: each for key, each in index.models.items() if key != model_id}
            return index.model_copy(update={"models": kept}), entry

        return self._file.change(edit)

    def verify(
        self,
        model_id: str,
        *,
        on_chunk: Callable[[int], None] | None = None,
        now_ms: int | None = None,
    ) -> Verification:
        """Read all files and hold them against their digests.

        `on_chunk` gets the bytes read so far and may raise. With `now_ms` the outcome is noted in
        the entry, if that is still the same.
        """
        entry = self.get(model_id)
        found = _examine(entry, on_chunk)
        if now_ms is not None:
            note = LastVerification(at_ms=now_ms, verdict=found.verdict)

            def changes(now: ModelEntry) -> dict[str, object]:
                return {"last_verification": note} if now.digest == entry.digest else {}

            self._update(model_id, changes)
        return found

    def engines(self) -> tuple[EngineEntry, ...]:
        """The engines by name and build."""
        return self._file.read().engines

    def put_engine(self, entry: EngineEntry) -> EngineEntry:
        """Enter or replace the engine of that build."""

        def edit(index: Index) -> tuple[Index, EngineEntry]:
            others = [each for each in index.engines if _build(each) != _build(entry)]
            engines = tuple(sorted([*others, entry], key=_build))
            return index.model_copy(update={"engines": engines}), entry

        return self._file.change(edit)

    def delete_engine(self, engine: str, build_ref: str) -> bool:
        """Remove an engine's entry; whether there was one."""

        def edit(index: Index) -> tuple[Index, bool]:
            kept = tuple(each for each in index.engines if _build(each) != (engine, build_ref))
            return index.model_copy(update={"engines": kept}), len(kept) < len(index.engines)

        return self._file.change(edit)

    def damaged(self) -> tuple[Path, ...]:
        """Indexes that could not be understood and were moved aside, until they are removed."""
        return self._file.damaged()

    def _store(self, make: Callable[[Index], ModelEntry]) -> ModelEntry:
        def edit(index: Index) -> tuple[Index, ModelEntry]:
            entry = make(index)
            update: dict[str, object] = {"models": {**index.models, entry.id: entry}}
            if any(each.entry.store_path == entry.store_path for each in index.removals):
                # What lies in that folder now is this entry's.
                update["removals"] = tuple(
                    each.model_copy(update={"is_detached": True})
                    if each.entry.store_path == entry.store_path
                    else each
                    for each in index.removals
                )
            return index.model_copy(update=update), entry

        return self._file.change(edit)

    def _update(
        self, model_id: str, changes: Callable[[ModelEntry], dict[str, object]]
    ) -> ModelEntry:
        def make(index: Index) -> ModelEntry:
            entry = _get(index, model_id)
            return entry.model_copy(update=changes(entry))

        return self._store(make)


def _get(index: Index, model_id: str) -> ModelEntry:
    try:
        return index.models[model_id]
    except KeyError:
        near = get_close_matches(model_id.lower(), index.models, n=_NEAR_NAMES)
        raise ModelUnknownError(model_id, tuple(near)) from None


def _examine(entry: ModelEntry, on_chunk: Callable[[int], None] | None) -> Verification:
    digests: dict[str, str] = {}
    missing, changed = [], []
    before_bytes = 0
    files = entry.all_files()
    root = entry.store_path or (entry.path if entry.path.is_dir() else entry.path.parent)
    for file in files:

        def tell(done_bytes: int, before_bytes: int = before_bytes) -> None:
            if on_chunk is not None:
                on_chunk(before_bytes + done_bytes)

        try:
            digest = file_digest(file.path, on_chunk=tell)
        except FileNotFoundError:
            missing.append(file.path)
            continue
        except OSError as error:
            raise CatalogStoreError(
                file.path, f"it cannot be read: {error.strerror}", retriable=True
            ) from error
        if digest != file.digest:
            changed.append(file.path)
        digests[os.path.relpath(file.path, root)] = digest
        before_bytes += file.stamp.size_bytes
    verdict = Verdict.MISSING if missing else Verdict.CHANGED if changed else Verdict.INTACT
    return Verification(
        verdict=verdict,
        expected=entry.digest,
        found=None if missing else digest_of_files(digests),
        bad_paths=(*missing, *changed),
    )


def _build(entry: EngineEntry) -> tuple[str, str]:
    return entry.engine, entry.build_ref
