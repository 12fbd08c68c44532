"""One daemon a runtime folder: two would stop each other's engines."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RuntimeDirTaken(Exception):
    """Another process owns the pools of this folder."""


@contextmanager
def owning(runtime_dir: Path) -> Iterator[None]:
    """Own a runtime folder as long as the context is open; raises `RuntimeDirTaken`.

    The kernel drops the lock with the process, however that ends.
    """
    runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = runtime_dir / "daemon.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise RuntimeDirTaken(
                f"process {owner} already serves the pools of {runtime_dir}; stop it, or give "
                "this one a folder of its own with LLORCH_HOME"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
