"""How long and how large a run is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The sizes of all scenarios."""

    rounds: int
    burst_tasks: int
    paced_tokens: int
    rate_per_s: int
    rate_s: float
    nodes: int
    nodes_s: float
    idle_streams: int
    queued_tasks: int
    overload_clients: int
    slow_readers: int
    idle_s: float
    starts: int
    engine_clients: tuple[int, ...]
    engine_rounds: int
    staging_rounds: int
    counted_tasks: int = 400
    """Counts do not depend on how many they are taken of, but for what is seldom."""
    peers: tuple[str, ...] = ()


QUICK = Scale(
    rounds=3,
    burst_tasks=1_500,
    paced_tokens=400,
    rate_per_s=500,
    rate_s=5.0,
    nodes=100,
    nodes_s=5.0,
    idle_streams=1_000,
    queued_tasks=5_000,
    overload_clients=300,
    slow_readers=20,
    idle_s=5.0,
    starts=2,
    engine_clients=(1, 32, 128),
    engine_rounds=2,
    staging_rounds=3,
)
FULL = Scale(
    rounds=7,
    burst_tasks=4_000,
    paced_tokens=500,
    rate_per_s=1_000,
    rate_s=600.0,
    nodes=1_000,
    nodes_s=60.0,
    idle_streams=10_000,
    queued_tasks=100_000,
    overload_clients=1_000,
    slow_readers=200,
    idle_s=60.0,
    starts=5,
    engine_clients=(1, 32, 128),
    engine_rounds=5,
    staging_rounds=5,
)
