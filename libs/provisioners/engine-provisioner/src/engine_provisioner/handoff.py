"""Handoff files, from the side of the one who writes them."""

import json
import os
from pathlib import Path

from pydantic import ValidationError

from engine_provisioner.process import ProcessIdentity, command_line, identify
from pool_registry_types import HandoffPayload

ADOPTED_DIR = "adopted"
STATUS_DIR = "run"
LOG_DIR = "logs"


def handoff_path(runtime_dir: Path, pool_id: str, replica_id: str) -> Path:
    """Return where the handoff of this replica is written."""
    return runtime_dir / f"{pool_id}-{replica_id}.json"


def adopted_path(runtime_dir: Path, pool_id: str, replica_id: str) -> Path:
    """Return where a watcher with auto-delete has put that file."""
    return runtime_dir / ADOPTED_DIR / f"{pool_id}~{replica_id}.json"


def status_path(runtime_dir: Path, pool_id: str, replica_id: str) -> Path:
    """Return where the engine's host tells its state; its command line names this file.

    Absolute, so that it is the same from whatever folder the next run is started.
    """
    return runtime_dir.absolute() / STATUS_DIR / f"{pool_id}~{replica_id}.status"


def log_path(runtime_dir: Path, pool_id: str, replica_id: str) -> Path:
    """Return where the engine's own output goes."""
    return runtime_dir / LOG_DIR / f"{pool_id}~{replica_id}.log"


def write_handoff(runtime_dir: Path, payload: HandoffPayload) -> Path:
    """Write the file so that a reader, or the disk after a power cut, has all of it or nothing."""
    path = handoff_path(runtime_dir, payload.pool_id, payload.replica_id)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    # The engine's key stands in it: nobody else may read it, from its first byte on.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(payload.model_dump_json(by_alias=True, indent=2))
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    folder = os.open(runtime_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def remove_handoff(runtime_dir: Path, pool_id: str, replica_id: str) -> None:
    """Remove the file, also where a watcher has put it away."""
    handoff_path(runtime_dir, pool_id, replica_id).unlink(missing_ok=True)
    adopted_path(runtime_dir, pool_id, replica_id).unlink(missing_ok=True)


def read_handoff(runtime_dir: Path, pool_id: str, replica_id: str) -> HandoffPayload | None:
    """Return what an earlier run of ours handed over, None when there is nothing valid."""
    for path_of in (handoff_path, adopted_path):
        try:
            raw = path_of(runtime_dir, pool_id, replica_id).read_bytes()
            payload = HandoffPayload.model_validate_json(raw)
        except (OSError, ValidationError):
            continue
        if (payload.pool_id, payload.replica_id) == (pool_id, replica_id):
            return payload
    return None


def read_status(path: Path) -> dict[str, str | int]:
    """Return what the engine's host last told, empty when nothing."""
    try:
        told = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def own_process(runtime_dir: Path, pool_id: str, replica_id: str) -> ProcessIdentity | None:
    """Return the living engine process that an earlier run of ours started for this replica.

    The proof is its command line, which names this replica's status file: a pid that the kernel
    has given to another program since, or one of another pid namespace, is never mistaken.
    """
    status = status_path(runtime_dir, pool_id, replica_id)
    pid = read_status(status).get("pid")
    if not isinstance(pid, int) or str(status) not in command_line(pid):
        return None
    return identify(pid)
