"""One daemon a runtime folder: two would stop each other's engines."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "daemon.lock"
TRIES, TRY_AGAIN_S = 5, 0.02


class RuntimeDirTaken(Exception):
    """Another process owns the pools of this folder."""


def is_owned(runtime_dir: Path) -> bool:
    """Return whether a process owns the folder now."""
    try:
        descriptor = os.open(runtime_dir / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _locked(descriptor: int) -> bool:
    """Take the lock; whoever asks `is_owned` holds it for an instant, so try more than once."""
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(TRY_AGAIN_S)
        else:
            return True
    return False


@contextmanager
def owning(runtime_dir: Path) -> Iterator[None]:
    """Own a runtime folder as long as the context is open; raises `RuntimeDirTaken`.

    The kernel drops the lock with the process, however that ends.
    """
    runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = runtime_dir / LOCK_FILE
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(descriptor):
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise RuntimeDirTaken(
                f"process {owner} already serves the pools of {runtime_dir}; stop it, or give "
                "this one a folder of its own with LLORCH_HOME"
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
