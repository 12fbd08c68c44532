"""What the manager hands out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplicaEndpoint:
    """Where one engine process is reached; valid for its generation only."""

    pool_id: str
    replica_id: str
    generation: int
    url: str
    engine: str
    engine_version: str
    engine_key: str | None
    model_id: str
    slots: int
    ctx_max: int
    """Tokens of context of one slot."""


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """How a reload or a swap ended."""

    model_ref: str | None
    """What the pool serves now."""
    error: str | None = None
    """Why the old model still serves; None when the new one does."""
