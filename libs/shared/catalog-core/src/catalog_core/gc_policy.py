"""What a garbage collection may delete, and what a disk must keep free."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Days = Annotated[int, Field(ge=0)]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeepActive(_Rule):
    """Never delete an Active model."""

    rule: Literal["KeepActive"] = "KeepActive"


class KeepRecentlyUsed(_Rule):
    """Keep what was used within so many days."""

    rule: Literal["KeepRecentlyUsed"] = "KeepRecentlyUsed"
    days: Days


class KeepPinned(_Rule):
    """Keep what an operator pinned; the planner does so without being told, too."""

    rule: Literal["KeepPinned"] = "KeepPinned"


class DeleteRetired(_Rule):
    """Delete what has been Retired for so many days, whether or not room is needed.

    Until then a Retired model is kept, even when room is needed: an operator may want it back.
    """

    rule: Literal["DeleteRetired"] = "DeleteRetired"
    after_days: Days


RetentionRule: TypeAlias = Annotated[
    KeepActive | KeepRecentlyUsed | KeepPinned | DeleteRetired, Field(discriminator="rule")
]


class CatalogGcPolicy(BaseModel):
    """When to delete models and which; a rule that keeps wins over one that deletes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_disk_usage_percent: Annotated[float, Field(gt=0, le=100)] = 90.0
    """Of the whole disk, whoever fills it."""
    min_free_gb: Annotated[float, Field(ge=0)] = 10.0
    """In units of 1,000,000,000 bytes."""
    retention_rules: tuple[RetentionRule, ...] = (
        KeepActive(),
        KeepPinned(),
        KeepRecentlyUsed(days=7),
        DeleteRetired(after_days=30),
    )
