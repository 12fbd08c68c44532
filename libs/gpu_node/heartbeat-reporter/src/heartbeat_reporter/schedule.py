"""When the next heartbeat is due."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSettings:
    """How often to report; the answer to a heartbeat sets the interval anew."""

    interval_ms: int = 10_000
    jitter_ratio: float = 0.1
    """The share of the interval by which a pause may be longer or shorter."""
    retry_first_ms: int = 500
    """The pause after a heartbeat that was not heard; it doubles up to the interval."""


def pause_s(settings: HeartbeatSettings, interval_ms: int, failures: int, chance: float) -> float:
    """Return how long to wait; `failures` in a row, `chance` from 0 to 1.

    The pauses between failures stay below the interval: a lost message must not cost the lease.
    """
    wanted_ms = interval_ms
    if failures:
        wanted_ms = min(settings.retry_first_ms * 2 ** min(failures - 1, 32), interval_ms)
    return wanted_ms * (1 + settings.jitter_ratio * (2 * chance - 1)) / 1000
