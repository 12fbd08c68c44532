"""What an operator says about a disk of models; programs that have one inherit it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from catalog_core import CatalogGcPolicy, DeleteRetired, KeepPinned, KeepRecentlyUsed
from model_provisioner import FetchSettings
from program_config import Bytes, Folder, SourceSettings, Variable


class DiskSettings(SourceSettings):
    """Where models lie, whence they come and when they go."""

    home: Annotated[Folder, Variable("LLORCH_HOME")] = Path("~/.local/share/llama-orch")
    gc_max_disk_usage_percent: Annotated[
        float, Variable("POOL_MANAGERD_GC_MAX_DISK_USAGE_PERCENT")
    ] = Field(default=80, gt=0, le=100)
    gc_min_free_gb: Annotated[float, Variable("POOL_MANAGERD_GC_MIN_FREE_GB")] = Field(
        default=50, ge=0
    )
    """In units of 1,000,000,000 bytes. Where less is free, what was unused longest is deleted."""
    gc_recent_days: Annotated[int, Variable("POOL_MANAGERD_GC_RECENT_DAYS")] = Field(
        default=14, ge=0
    )
    """A model that was used within so many days is kept."""
    gc_retired_after_days: Annotated[int, Variable("POOL_MANAGERD_GC_RETIRED_AFTER_DAYS")] = Field(
        default=7, ge=0
    )
    """A Retired model is kept so long, then deleted."""
    gc_interval_ms: Annotated[int, Variable("POOL_MANAGERD_GC_INTERVAL_MS")] = Field(
        default=0, ge=0
    )
    """How often models are collected; 0: only when asked for."""

    model_cache_max_bytes: Annotated[
        Bytes | None, Variable("POOL_MANAGERD_MODEL_CACHE_MAX_BYTES")
    ] = None
    """Host RAM for staged models; unset: half of what is free at the start."""

    @property
    def catalog_dir(self) -> Path:
        """Where the index of models lies."""
        return self.home / "catalog"

    @property
    def models_dir(self) -> Path:
        """Where models lie that were fetched."""
        return self.home / "models"

    @property
    def gc_policy(self) -> CatalogGcPolicy:
        """The policy of collections.

        Active is no reason to keep a model: else no limit of the disk could ever have an effect.
        """
        return CatalogGcPolicy(
            max_disk_usage_percent=self.gc_max_disk_usage_percent,
            min_free_gb=self.gc_min_free_gb,
            retention_rules=(
                KeepPinned(),
                KeepRecentlyUsed(days=self.gc_recent_days),
                DeleteRetired(after_days=self.gc_retired_after_days),
            ),
        )

    @property
    def fetch(self) -> FetchSettings:
        """How models are fetched that are not on this disk."""
        return FetchSettings.of(self)
