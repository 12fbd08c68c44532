"""What this library needs from others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pool_registry_types import GpuInfo


@dataclass(frozen=True, slots=True)
class StagedModel:
    """A model file that lies on this disk, verified."""

    model_id: str
    path: Path
    size_bytes: int
    digest: str | None = None
    ctx_train_tokens: int | None = None


class ModelSource(Protocol):
    """Brings models to this disk."""

    async def stage(self, model_ref: str) -> StagedModel:
        """Return the file of the model; raises when there is none, with the reason as its text."""
        ...


class GpuInventory(Protocol):
    """The GPUs of this machine."""

    def gpus(self) -> tuple[GpuInfo, ...]:
        """Return the usable GPUs; none when there is no driver."""
        ...

    def vram_free_bytes(self, device_id: int) -> int:
        """Return what is free on one of them."""
        ...

    def looked_for(self) -> str:
        """Say in plain words what was looked for and not found."""
        ...
