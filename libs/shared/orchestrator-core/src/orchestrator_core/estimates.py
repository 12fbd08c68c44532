"""What measured service times say about the future: starts, deadlines, when to come back.

Times are estimated at a quantile of how long tasks took: 0.1 is the optimistic view, 0.5 the
expected one. Without measurements every estimate is None, never a guess.
"""

from collections.abc import Sequence


class ServiceTimes:
    """How long the latest tasks of a model took: a bounded window, in which older ones weigh less."""

    def __init__(self, window: int = 256, half_life: int = 64) -> None:
        """Remember `window` tasks; one that is `half_life` tasks old weighs half."""

    def record(self, first_token_ms: float, total_ms: float, tokens: int) -> None:
        """Count a finished task: from its dispatch to its first token and to its end."""
        raise NotImplementedError

    def service_ms(self, quantile: float, expected_tokens: int | None = None) -> float | None:
        """Tell how long a task takes; with `expected_tokens`, one of that length."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


def predicted_start_ms(
    times: ServiceTimes,
    position: int,
    running_ages_ms: Sequence[float],
    slots: int,
    *,
    quantile: float = 0.5,
) -> int | None:
    """Tell in how many ms a task at this position starts; 0: now, None: not known.

    `slots` are those that serve its lane, `running_ages_ms` how long the tasks on them run.
    """
    raise NotImplementedError


def finish_ms(
    times: ServiceTimes,
    position: int,
    running_ages_ms: Sequence[float],
    slots: int,
    *,
    quantile: float = 0.5,
    expected_tokens: int | None = None,
) -> float | None:
    """Tell in how many ms a task at this position is done."""
    raise NotImplementedError


def on_time_probability(
    times: ServiceTimes,
    position: int,
    running_ages_ms: Sequence[float],
    slots: int,
    *,
    remaining_ms: float,
    expected_tokens: int | None = None,
) -> float | None:
    """Tell how likely a task at this position is done within `remaining_ms`."""
    raise NotImplementedError


def deadline_feasible(
    times: ServiceTimes,
    position: int,
    running_ages_ms: Sequence[float],
    slots: int,
    *,
    remaining_ms: float,
    expected_tokens: int | None = None,
) -> bool:
    """Whether a task may be admitted: False only when even the optimistic estimate misses."""
    raise NotImplementedError


class DrainRate:
    """How fast tasks leave a queue for a replica: what a refused caller is told to wait."""

    def __init__(self, window: int = 64) -> None:
        """Measure over the last `window` departures."""

    def record(self, now_ms: int) -> None:
        """Count a task that left the queue for a replica."""
        raise NotImplementedError

    def retry_after_ms(
        self, now_ms: int, waiting: int, oldest_running_ms: int | None = None
    ) -> int:
        """Tell when a quarter of the queue will have left, within 1 s and 60 s.

        Before anything was measured the age of the oldest running task stands for the time that
        one departure takes.
        """
        raise NotImplementedError
