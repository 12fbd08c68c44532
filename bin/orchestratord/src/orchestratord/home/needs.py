"""Which models are needed right now, and by whom: what no collection may touch."""

import asyncio
from collections.abc import Callable, Mapping

from catalog_core import Catalog
from local_pool_manager import LocalPoolManager
from model_provisioner import ModelProvisioner

_ASK_TIMEOUT_S = 10.0


class Needs:
    """Asked from the thread that deletes: the loop tells, the catalog says which model is meant.

    `arriving` are the references that pools change to; `waiting` counts the tasks for a model.
    """

    def __init__(
        self,
        catalog: Catalog,
        provisioner: ModelProvisioner,
        pools: LocalPoolManager,
        *,
        arriving: Callable[[], Mapping[str, str]],
        waiting: Callable[[str], int],
    ) -> None:
        self._catalog = catalog
        self._provisioner = provisioner
        self._pools = pools
        self._arriving = arriving
        self._waiting = waiting

    def asker(self) -> Callable[[], Mapping[str, str]]:
        """Return a question for a thread; to be made on the loop that answers it."""
        loop = asyncio.get_running_loop()

        def ask() -> Mapping[str, str]:
            entries = self._catalog.list()
            model_ids = frozenset(entry.id for entry in entries)
            asked = asyncio.run_coroutine_threadsafe(self._look(model_ids), loop)
            served, references = asked.result(_ASK_TIMEOUT_S)
            found = {
                entry.id: why
                for reference, why in references.items()
                if (entry := self._catalog.locate(reference.removeprefix("file:")))
                or (entry := self._catalog.locate(reference))
            }
            return {**found, **served}

        return ask

    async def _look(self, model_ids: frozenset[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the ids and the references that are needed, as of one moment."""
        needed = {
            model_id: f"{waiting} tasks wait for it"
            for model_id in model_ids
            if (waiting := self._waiting(model_id))
        }
        for pool in self._pools.snapshots():
            for model_id in (pool.model_id, *(replica.model_id for replica in pool.replicas)):
                if model_id is not None:
                    needed[model_id] = f"pool {pool.pool_id} serves it"
        references = dict.fromkeys(self._provisioner.preparing(), "it is being fetched or read")
        for pool_id, reference in self._arriving().items():
            references[reference] = f"pool {pool_id} is loading it"
        return needed, references
