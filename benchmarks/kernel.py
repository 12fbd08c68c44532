"""What the kernel has counted for other processes: exact on a busy machine."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

_SCHED_CLOCK = 2
"""The low bits that make a process id the id of its CPU clock; see clock_getcpuclockid(3)."""


def cpu_s(pid: int) -> float:
    """CPU time of a process and its living children, in seconds with the kernel's nanoseconds."""
    return sum(_own_cpu_s(member) for member in family(pid))


def _own_cpu_s(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | _SCHED_CLOCK)
    except OSError:
        return 0.0


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            text = children.read_text()
        except OSError:
            continue
        for child in text.split():
            found += family(int(child))
    return found


def memory_bytes(pid: int) -> int:
    """Resident memory of a process and its children."""
    return sum(_own_memory_bytes(member) for member in family(pid))


def _own_memory_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return 0 if found is None else int(found[1]) * 1024


def writes(pid: int) -> int:
    """How many system calls a process has made that write; those that only send do not count."""
    found = re.search(r"syscw: (\d+)", Path(f"/proc/{pid}/io").read_text())
    assert found is not None
    return int(found[1])


@dataclass(slots=True)
class CpuMeter:
    """CPU time that some processes use between `__enter__` and `__exit__`."""

    pids: tuple[int, ...]
    used_s: float = 0.0
    _began_s: float = 0.0

    def __enter__(self) -> "CpuMeter":
        self._began_s = sum(map(cpu_s, self.pids))
        return self

    def __exit__(self, *_: object) -> None:
        self.used_s = sum(map(cpu_s, self.pids)) - self._began_s
