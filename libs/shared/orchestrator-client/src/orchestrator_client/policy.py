"""How long to wait, and when to give up: values and one pure function."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits of waiting, in seconds."""

    connect_s: float = 5.0
    request_s: float = 30.0
    """A whole plain call; streams have the two below instead."""
    idle_s: float = 45.0
    """Silence on a stream. The server writes a comment every 15 s, so this allows for two lost."""
    total_s: float | None = None
    """A whole stream until its last frame, reconnects included; None: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Capped exponential backoff with jitter, bounded by attempts and by time."""

    attempts: int | None = 5
    """How often a call is made in all; None: only time bounds it."""
    total_ms: int = 60_000
    base_ms: int = 200
    cap_ms: int = 5_000

    def delay_ms(
        self, failures: int, *, elapsed_ms: int, jitter: float, asked_ms: int | None = None
    ) -> int | None:
        """Return the wait after the `failures`-th failure in a row, or None to give up.

        `jitter` in [0, 1) spreads the wait over the upper half of the backoff. `asked_ms`, the
        server's own wish, is never undercut: a wish beyond `total_ms` means giving up at once.
        """
        if self.attempts is not None and failures >= self.attempts:
            return None
        ceiling_ms = min(self.cap_ms, self.base_ms * 2 ** min(failures - 1, 32))
        delay_ms = max(asked_ms or 0, int(ceiling_ms * (1 + jitter) / 2))
        return delay_ms if elapsed_ms + delay_ms <= self.total_ms else None


NO_RETRY = RetryPolicy(attempts=1)
RECONNECT = RetryPolicy(attempts=None, total_ms=60_000)
"""For a stream that was cut: `total_ms` counts from the cut until a byte arrives again."""
