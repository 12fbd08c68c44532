"""What the coordinator can be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from admission_coordinator.sessions import SessionLimits
from orchestrator_core import FullPolicy, PoolRef


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings:
    """Limits and policies; the defaults are those of the configuration contract."""

    capacity: int = 100
    """Tasks that may wait for one model."""
    full_policy: FullPolicy = FullPolicy.DROP_LRU
    max_queue_bytes: int = 64 * 1024 * 1024
    """Bytes of all waiting tasks of this process."""
    queue_max_wait_ms: int = 600_000
    batch_max_wait_ms: int = 30_000
    first_token_timeout_ms: int = 600_000
    decode_idle_timeout_ms: int = 60_000
    decode_wall_timeout_ms: int = 600_000
    task_retention_ms: int = 600_000
    retained_max_bytes: int = 256 * 1024 * 1024
    """Bytes of all ended tasks; the oldest go first when there are more."""
    event_log_max_bytes: int = 4 * 1024 * 1024
    retry_budget: int = 3
    """Attempts that a task may lose before its first token."""
    disconnect_grace_ms: int = 2_000
    stop_timeout_ms: int = 1_000
    """How long an engine may take to confirm a stop before its replica is suspect."""
    metrics_interval_ms: int = 5_000
    """A waiting reader gets a metrics frame at least this often."""
    position_interval_ms: int = 100
    """Changes of position within this time are told in one frame."""
    allow_pinning: bool = True
    sessions: SessionLimits = field(default_factory=SessionLimits)
    pool_name: Callable[[PoolRef], str] = attrgetter("pool_id")
    """What clients, metrics and logs are told of a pool; its bare id is unique on one machine."""
    price_per_1k_tokens: Mapping[str, float] = field(default_factory=dict)
    """By model id; a model without a price costs nothing and knows no cost budget."""
