"""Whether the process that a handoff names is there, asked only where the pid means anything."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pool_registry_types import HandoffPayload

PROC = Path("/proc")
_START_TIME_FIELD = 22
_ENDED_STATES = ("Z", "X", "x")


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """The boot and the pid namespace in which this process reads pids."""

    boot_id: str | None
    pid_ns: str | None


class PidState(StrEnum):
    """What a handoff's pid tells."""

    ALIVE = "alive"
    GONE = "gone"
    UNTRUSTED = "untrusted"
    """Of another boot or pid namespace, or without them: the URL's health decides."""


def read_host_identity(proc: Path = PROC) -> HostIdentity:
    """Read both from the kernel; where it hides them, no pid is trusted."""
    try:
        boot_id = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return HostIdentity(boot_id, str(Path(proc / "self/ns/pid").readlink()))
    except OSError:
        return HostIdentity(None, None)


def pid_start_ticks(pid: int, proc: Path = PROC) -> int | None:
    """Tell when a process was started, in clock ticks since boot; None if it is not running."""
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name and may hold spaces and brackets of its own.
    fields = stat[stat.rfind(")") + 2 :].split()
    if len(fields) < _START_TIME_FIELD - 2 or fields[0] in _ENDED_STATES:
        return None
    return int(fields[_START_TIME_FIELD - 3])


def check_pid(payload: HandoffPayload, host: HostIdentity, proc: Path = PROC) -> PidState:
    """Tell whether the engine's process runs; a pid that now names another process is gone."""
    ours = (
        payload.boot_id is not None
        and payload.pid_ns is not None
        and (payload.boot_id, payload.pid_ns) == (host.boot_id, host.pid_ns)
    )
    if not ours or payload.pid_start_ticks is None:
        return PidState.UNTRUSTED
    started = pid_start_ticks(payload.pid, proc)
    return PidState.ALIVE if started == payload.pid_start_ticks else PidState.GONE
