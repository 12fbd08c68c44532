"""What this machine tells about its models."""

import asyncio
from collections.abc import Callable, Mapping

from catalog_core import Catalog
from pool_registry_types import ModelReport, ModelState


class ModelReports:
    """What heartbeats say of the models on this disk: read off the loop, told from memory."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._loadable: dict[str, str] = {}
        self.loadable_changed: Callable[[], None] = lambda: None
        """Called when other models than before may be loaded."""
        self.reports: tuple[ModelReport, ...] = ()
        """As of the last `refresh`."""

    async def refresh(self) -> None:
        """Read the catalog again."""
        entries = await asyncio.to_thread(self._catalog.list)
        self.reports = tuple(
            ModelReport(model_id=entry.id, digest=entry.digest, state=ModelState(entry.state.value))
            for entry in entries
        )
        active = {e.id: e.reference for e in entries if e.state.value == ModelState.ACTIVE.value}
        if active != self._loadable:
            self._loadable = active
            self.loadable_changed()

    def loadable(self) -> Mapping[str, str]:
        """Return what a swapping pool may load: every Active model, with its reference."""
        return self._loadable
