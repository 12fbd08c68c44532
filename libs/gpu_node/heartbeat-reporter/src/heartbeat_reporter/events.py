"""What the reporter tells its program, for logs and metrics."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class HeartbeatsLost:
    """Heartbeats are not heard any more; told once."""

    url: str


@dataclass(frozen=True, slots=True)
class HeartbeatsHeard:
    """Heartbeats are heard, for the first time or again after so many failures."""

    url: str
    failures: int


HeartbeatEvent: TypeAlias = HeartbeatsLost | HeartbeatsHeard
