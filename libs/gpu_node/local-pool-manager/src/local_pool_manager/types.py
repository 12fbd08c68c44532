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
