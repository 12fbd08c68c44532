"""What a watcher tells."""

from dataclasses import dataclass
from typing import TypeAlias

from handoff_watcher.process import PidState
from pool_registry_types import HandoffPayload


@dataclass(frozen=True, slots=True)
class HandoffAppeared:
    """An engine was handed over, or one from before the start of the watcher was found again."""

    payload: HandoffPayload
    file: str
    pid: PidState = PidState.UNTRUSTED

    @property
    def pid_trusted(self) -> bool:
        """Whether the pid speaks for the engine at all; else only its URL does."""
        return self.pid is not PidState.UNTRUSTED


@dataclass(frozen=True, slots=True)
class HandoffChanged:
    """The handoff of a known replica says something else now."""

    payload: HandoffPayload
    previous: HandoffPayload
    file: str
    pid: PidState = PidState.UNTRUSTED

    @property
    def pid_trusted(self) -> bool:
        """Whether the pid speaks for the engine at all; else only its URL does."""
        return self.pid is not PidState.UNTRUSTED


@dataclass(frozen=True, slots=True)
class HandoffVanished:
    """Somebody else removed the handoff of a replica: it is not ready any more."""

    payload: HandoffPayload
    file: str


@dataclass(frozen=True, slots=True)
class HandoffMalformed:
    """A file cannot be read as a handoff; told once until it is valid or gone."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class WatchTrouble:
    """The folder cannot be scanned or gives no file events; told once until that ends."""

    reason: str


HandoffEvent: TypeAlias = (
    HandoffAppeared | HandoffChanged | HandoffVanished | HandoffMalformed | WatchTrouble
)
