"""Which models are needed right now, and by whom: what no collection may touch."""

import asyncio
from collections.abc import Callable, Mapping

from catalog_core import Catalog, ModelEntry
from pool_registry_types import PoolSnapshot

_ASK_TIMEOUT_S = 10.0


class Needs:
    """Asked from the thread that deletes: the loop tells, the catalog says which model is meant.

    `loading` are, by pool, ids and references of the models that it loads, changes to, or is
    set up for; `waiting` counts the tasks for a model.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        snapshots: Callable[[], tuple[PoolSnapshot, ...]],
        preparing: Callable[[], frozenset[str]],
        loading: Callable[[], Mapping[str, tuple[str, ...]]],
        waiting: Callable[[str], int],
    ) -> None:
        self._catalog = catalog
        self._snapshots = snapshots
        self._preparing = preparing
        self._loading = loading
        self._waiting = waiting

    def asker(self, *, besides: str | None = None) -> Callable[[], Mapping[str, str]]:
        """Return a question for a thread; to be made on the loop that answers it.

        `besides` is a pool whose own needs do not count.
        """
        loop = asyncio.get_running_loop()

        def ask() -> Mapping[str, str]:
            entries = self._catalog.list()
            model_ids = frozenset(entry.id for entry in entries)
            asked = asyncio.run_coroutine_threadsafe(self._look(model_ids, besides), loop)
            served, references = asked.result(_ASK_TIMEOUT_S)
            found = {
                entry.id: why
                for reference, why in references.items()
                if (entry := self.entry_of(reference)) is not None
            }
            return {**found, **served}

        return ask

    def entry_of(self, reference: str) -> ModelEntry | None:
        """Return the model of the catalog that a pool means; reads the disk."""
        return self._catalog.locate(reference.removeprefix("file:")) or self._catalog.locate(
            reference
        )

    async def _look(
        self, model_ids: frozenset[str], besides: str | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the ids and the references that are needed, as of one moment."""
        needed = {
            model_id: f"{waiting} tasks wait for it"
            for model_id in model_ids
            if (waiting := self._waiting(model_id))
        }
        for pool in self._snapshots():
            if pool.pool_id == besides:
                continue
            for model_id in (pool.model_id, *(replica.model_id for replica in pool.replicas)):
                if model_id is not None:
                    needed[model_id] = f"pool {pool.pool_id} serves it"
        references = dict.fromkeys(self._preparing(), "it is being fetched or read")
        for pool_id, models in self._loading().items():
            if pool_id == besides:
                continue
            references.update(dict.fromkeys(models, f"pool {pool_id} loads it or is set up for it"))
        return needed, references
