"""What this library needs from others."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

from catalog_core import ModelEntry
from gpu_discovery import GpuInventory


class ModelSource(Protocol):
    """Brings models to this disk; model-provisioner's `ModelProvisioner` is one."""

    async def ensure(self, reference: str) -> ModelEntry:
        """Return the verified model; raises when there is none, with the reason as its text."""
        ...


class PoolObserver(Protocol):
    """Is told what has become of pools, for metrics; must not raise or block."""

    def drain_ended(self, pool_id: str, outcome: str, took_ms: float) -> None:
        """Take note of a drain that has `emptied` its pool, or was `resumed` before."""

    def reload_ended(self, pool_id: str, outcome: str, took_ms: float) -> None:
        """Take note of a pool whose model has `changed`, or was `rolled_back`."""

    def engines_restarted(self, pool_id: str, cause: str, count: int) -> None:
        """Take note of engines that were started again."""


class GpuObserver(Protocol):
    """Is told of errors of GPUs, for metrics; must not raise or block."""

    def gpu_failed(self, device: str, kind: str, count: int) -> None:
        """Take note of a device that was `lost` or `failed`, or had errors (`memory`, `xid`)."""


Loadable: TypeAlias = Callable[[], Mapping[str, str]]
"""The models that a swapping pool may load: id and reference of each, as the catalog has them."""

StageAhead: TypeAlias = Callable[[str], None]
"""Begins to bring the model of this id into RAM, while another one serves; never blocks or raises,
and is asked once for each model that comes next."""

OnLoad: TypeAlias = Callable[[Path], None]
"""Is told the file of a model that an engine is about to read."""

Look: TypeAlias = Callable[[], Awaitable[GpuInventory]]
"""A fresh look at the GPUs, such as gpu-discovery's `discover` in a thread."""

OnHandoff: TypeAlias = Callable[[str, str, float | None], None]
"""Is told of each handoff file: its pool (`none` of one that cannot be read), whether it has
`appeared`, `changed`, `vanished` or is `malformed`, and of a new one in how many ms the pool knew,
from the file or from our start. For metrics; must not raise or block."""
