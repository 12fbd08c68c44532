"""What this library needs from others."""

from typing import Protocol

from catalog_core import ModelEntry


class ModelSource(Protocol):
    """Brings models to this disk; model-provisioner's `ModelProvisioner` is one."""

    async def ensure(self, reference: str) -> ModelEntry:
        """Return the verified model; raises when there is none, with the reason as its text."""
        ...
