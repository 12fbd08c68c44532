"""The models and engines on this disk, kept in one directory by many processes."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from catalog_core.digests import file_digest
from catalog_core.entries import EngineEntry, ModelEntry, ModelState, Verdict, Verification
from catalog_core.errors import CatalogStoreError, ModelPinnedError, ModelUnknownError
from catalog_core.index import Index, IndexFile

_NEAR_NAMES = 3


def _ignore_damage(_aside: Path, _reason: str) -> None:
    """`damaged` still tells of it."""


class Catalog:
    """Every call reads or replaces the index on disk, so that all processes see the same.

    The calls block on the disk: from asyncio, call them in a thread. Files of models are never
    touched; deleting an entry leaves its file to whoever brought it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        lock_timeout_s: float = 10.0,
        on_damage: Callable[[Path, str], None] = _ignore_damage,
    ) -> None:
        self._file = IndexFile(directory, lock_timeout_s=lock_timeout_s, on_damage=on_damage)

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

    def set_state(self, model_id: str, state: ModelState) -> ModelEntry:
        """Offer a model, or offer it no longer."""
        return self._update(model_id, lambda _: {"state": state})

    def retire(self, model_id: str) -> ModelEntry:
        """Offer a model to no new task."""
        return self.set_state(model_id, ModelState.RETIRED)

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
        self, model_id: str, *, on_chunk: Callable[[int], None] | None = None
    ) -> Verification:
        """Read the whole file and hold it against the entry's digest; changes nothing."""
        entry = self.get(model_id)
        try:
            found = file_digest(entry.path, on_chunk=on_chunk)
        except FileNotFoundError:
            return Verification(verdict=Verdict.MISSING, expected=entry.digest)
        except OSError as error:
            raise CatalogStoreError(
                entry.path, f"it cannot be read: {error.strerror}", retriable=True
            ) from error
        verdict = Verdict.INTACT if found == entry.digest else Verdict.CHANGED
        return Verification(verdict=verdict, expected=entry.digest, found=found)

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
            models = {**index.models, entry.id: entry}
            return index.model_copy(update={"models": models}), entry

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


def _build(entry: EngineEntry) -> tuple[str, str]:
    return entry.engine, entry.build_ref
