"""What a mock engine shall do with one request, as data."""

from collections.abc import Sequence
from dataclasses import dataclass

from adapter_api import AdapterError, FinishReason, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The course of one run; the default says the prompt's words back.

    Counts and finish reason that are left out are the true ones; setting them makes an engine
    that lies. `fail` is raised once `fail_after_tokens` tokens were given: 0 refuses the request.
    """

    pieces: Sequence[str] | None = None
    tokens_per_read: int = 1
    pace_ms: float = 0
    progress: Sequence[Progress] = ()
    fail: AdapterError | None = None
    fail_after_tokens: int = 0
    hang_after_tokens: int | None = None
    """Silence from here on, until a timeout or a cancellation ends the run."""
    finish_reason: FinishReason | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
