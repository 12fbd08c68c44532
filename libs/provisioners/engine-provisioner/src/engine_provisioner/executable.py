"""A `llama-server` executable: whether it may be run, and which one it is."""

import hashlib
import os
from pathlib import Path

from engine_provisioner.errors import PreflightError


def executable_version(pool_id: str, path: Path, sha256: str | None) -> str:
    """Return a name for this very build; raises `PreflightError` unless it is what was promised."""
    try:
        stat = path.stat()
        if not path.is_file() or not os.access(path, os.X_OK):
            raise PreflightError(
                f"pool {pool_id!r}: {path} is no executable file; name a llama-server "
                "(provisioning.path), and make it executable with chmod +x"
            )
        if sha256 is None:
            stamp = hashlib.sha256(f"{path}|{stat.st_size}|{stat.st_mtime_ns}".encode())
            return f"llama-server-at-{stamp.hexdigest()[:12]}"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PreflightError(
            f"pool {pool_id!r}: {path} cannot be used: {error.strerror}"
        ) from error
    if found != sha256.lower().removeprefix("sha256:"):
        raise PreflightError(
            f"pool {pool_id!r}: {path} has SHA-256 {found}, and {sha256} is configured; it is "
            "another build, or it was changed"
        )
    return f"llama-server-{found[:12]}"
