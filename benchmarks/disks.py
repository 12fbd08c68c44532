"""Files that are really not in RAM, and a disk that is as slow as one likes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_cache import pages

_BLKIO = Path("/sys/fs/cgroup/blkio")
_PATIENCE_S = 10.0


def make_cold(path: Path) -> None:
    """Throw a file out of the page cache, and see that it has gone: an engine lets go late."""
    end_s = time.monotonic() + _PATIENCE_S
    while True:
        pages.forget(path)
        if not (left := pages.resident_bytes(path)):
            return
        if time.monotonic() > end_s:
            raise TimeoutError(f"{left} bytes of {path} stay in RAM")
        time.sleep(0.05)


def read_s(path: Path) -> float:
    """Read a file from its first byte to its last."""
    began_s = time.perf_counter()
    pages.read_through(path, lambda _done: None)
    return time.perf_counter() - began_s


def can_throttle() -> bool:
    """Whether this machine lets us slow its disk down."""
    return os.access(_BLKIO / "cgroup.procs", os.W_OK)


@contextmanager
def throttled(folder: Path, bytes_per_s: int | None) -> Iterator[None]:
    """Let this process and what it starts read no faster from the disk of a folder.

    Needs root and the controller blkio (cgroup v1); without a rate nothing is changed.
    """
    if bytes_per_s is None:
        yield
        return
    group = _BLKIO / f"llama-orch-benchmarks-{os.getpid()}"
    group.mkdir()
    try:
        device = folder.stat().st_dev
        limit = f"{os.major(device)}:{os.minor(device)} {bytes_per_s}\n"
        (group / "blkio.throttle.read_bps_device").write_text(limit)
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (_BLKIO / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()
