"""What the cache knows of a model, and of itself."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Stage(StrEnum):
    """Where the staging of a model stands."""

    STAGING = "staging"
    STAGED = "staged"
    FAILED = "failed"


class Method(StrEnum):
    """How a model is kept in RAM."""

    LOCKED = "locked"
    """Mapped and locked: the kernel may not take the pages back."""
    PREREAD = "preread"
    """Read into the page cache: the kernel drops it when programs need the memory."""


@dataclass(frozen=True, slots=True)
class StagedModel:
    """One model in the cache."""

    model_id: str
    path: Path
    """What an engine is given: the file, or what stands for all of them."""
    size_bytes: int
    """Of all files."""
    stage: Stage = Stage.STAGING
    done_bytes: int = 0
    method: Method | None = None
    """None until it is known whether the kernel lets us lock."""
    why_not_locked: str | None = None
    pinned: bool = False
    last_used_ms: int = 0
    error: str | None = None
    files: tuple[Path, ...] = ()
    """Where the model has several; empty: there is only the one at `path`."""

    @property
    def all_files(self) -> tuple[Path, ...]:
        """Every file of the model."""
        return self.files or (self.path,)


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The cache at one moment."""

    budget_bytes: int
    used_bytes: int
    """Of models that are staged or being staged."""
    hits: int
    misses: int
    evictions: int
    models: tuple[StagedModel, ...]
