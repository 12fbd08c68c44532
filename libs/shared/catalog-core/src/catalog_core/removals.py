"""Models that leave the disk: out of the index first, then out of the way, then deleted.

The list of removals is part of the index. A crash after any step leaves a state from which
`pending` and the same calls go on: an entry never names files that a removal took away.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from catalog_core.entries import ModelEntry, Removal
from catalog_core.errors import CatalogStoreError
from catalog_core.index import Index, IndexFile


class Removals:
    """One step a call; each is atomic, and each may be repeated."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold off other collections, of other processes too."""
        with self._file.locked("gc.lock", "another collection is running"):
            yield

    def pending(self) -> tuple[Removal, ...]:
        """What was begun and not finished."""
        return self._file.read().removals

    def withdraw(self, expected: ModelEntry) -> Removal | None:
        """Take an entry out of the catalog unless it is no longer the expected one."""
        folder = expected.store_path
        if folder is None or not expected.path.is_relative_to(folder):
            reason = "it has no folder of its own, so its files are not ours to delete"
            raise CatalogStoreError(expected.path, reason, retriable=False)

        def edit(index: Index) -> tuple[Index, Removal | None]:
            if index.models.get(expected.id) != expected or expected.pinned:
                return index, None
            taken = {each.trash for each in index.removals}
            names = (folder.with_name(f".trash-{number}-{folder.name}") for number in count())
            trash = next(each for each in names if each not in taken and not each.exists())
            removal = Removal(entry=expected, trash=trash)
            models = {key: each for key, each in index.models.items() if key != expected.id}
            update = {"models": models, "removals": (*index.removals, removal)}
            return index.model_copy(update=update), removal

        return self._file.change(edit)

    def restore(self, removal: Removal) -> bool:
        """Enter the model again, if its files are still where they were."""

        def edit(index: Index) -> tuple[Index, bool]:
            is_moved = removal.trash.exists() or not removal.entry.path.exists()
            if is_moved or removal not in index.removals or removal.entry.id in index.models:
                return index, False
            update = {
                "models": {**index.models, removal.entry.id: removal.entry},
                "removals": tuple(each for each in index.removals if each != removal),
            }
            return index.model_copy(update=update), True

        return self._file.change(edit)

    def detach(self, removal: Removal) -> None:
        """Rename the folder, so that nobody takes its files for a model."""
        folder = removal.entry.store_path

        def edit(index: Index) -> tuple[Index, None]:
            # Under the lock: a fetch that enters the folder again in time wins.
            if removal not in index.removals or removal.is_detached or folder is None:
                return index, None
            # If both are there, a run was killed right here: the trash is its folder, and what
            # lies in the old place is newer.
            if folder.exists() and not removal.trash.exists():
                folder.rename(removal.trash)
            detached = removal.model_copy(update={"is_detached": True})
            removals = tuple(detached if each == removal else each for each in index.removals)
            return index.model_copy(update={"removals": removals}), None

        self._file.change(edit)

    def erase(self, removal: Removal) -> None:
        """Delete what was renamed, and forget the removal."""
        if removal.trash.exists():
            shutil.rmtree(removal.trash)

        def edit(index: Index) -> tuple[Index, None]:
            kept = tuple(each for each in index.removals if each.trash != removal.trash)
            return index.model_copy(update={"removals": kept}), None

        self._file.change(edit)
