"""Brings models to this disk, one piece of work a model however many ask for it."""

from collections.abc import Callable
from pathlib import Path

from api_types import PreparationStep
from catalog_core import Catalog, ModelEntry, ModelRef

Progress = Callable[[PreparationStep], None]


class ModelProvisioner:
    """Ensures that a referenced model is on disk, verified and in the catalog."""

    def __init__(self, catalog: Catalog, *, base: Path, now_ms: Callable[[], int]) -> None:
        raise NotImplementedError

    async def ensure(
        self,
        reference: str | ModelRef,
        *,
        expected_digest: str | None = None,
        on_progress: Progress | None = None,
    ) -> ModelEntry:
        """The model's entry, made now if need be."""
        raise NotImplementedError
