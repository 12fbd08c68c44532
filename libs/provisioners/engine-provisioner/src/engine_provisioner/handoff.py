"""Handoff files, from the side of the one who writes them."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine_provisioner.process import ProcessIdentity, command_line, identify
from pool_registry_types import HandoffPayload

ADOPTED_DIR = "adopted"
STATUS_DIR = "run"
LOG_DIR = "logs"
LANES = (0, 1)
"""One engine of a replica serves in one lane while its successor starts in the other."""


def handoff_path(runtime_dir: Path, pool_id: str, replica_id: str) -> Path:
    """Return where the handoff of this replica is written."""
    return runtime_dir / f"{pool_id}-{replica_id}.json"


def adopted_path(runtime_dir: Path, pool_id: str, replica_id: str) -> Path:
    """Return where a watcher with auto-delete has put that file."""
    return runtime_dir / ADOPTED_DIR / f"{pool_id}~{replica_id}.json"


def status_path(private_dir: Path, pool_id: str, replica_id: str, lane: int = 0) -> Path:
    """Return where the engine's host tells its state; its command line names this file.

    Absolute, so that it is the same from whatever folder the next run is started.
    """
    name = f"{_own_name(pool_id, replica_id, lane)}.status"
    return private_dir.absolute() / STATUS_DIR / name


def log_path(private_dir: Path, pool_id: str, replica_id: str, lane: int = 0) -> Path:
    """Return where the engine's own output goes."""
    return private_dir / LOG_DIR / f"{_own_name(pool_id, replica_id, lane)}.log"


def _own_name(pool_id: str, replica_id: str, lane: int) -> str:
    # Two engines of one replica live side by side while its model is changed.
    return f"{pool_id}~{replica_id}~{lane}" if lane else f"{pool_id}~{replica_id}"


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


def lane_in_service(
    runtime_dir: Path, pool_id: str, replica_id: str, *, private_dir: Path | None = None
) -> int:
    """Return the lane of the living engine of ours that the handoff names; 0 when there is none."""
    private_dir = private_dir or runtime_dir
    payload = read_handoff(runtime_dir, pool_id, replica_id)
    for lane in LANES:
        process = own_process(private_dir, pool_id, replica_id, lane)
        if payload is not None and process is not None and process.pid == payload.pid:
            return lane
    return 0


def engine_pids(
    runtime_dir: Path, pool_id: str, replica_id: str, *, private_dir: Path | None = None
) -> frozenset[int]:
    """Return the processes of the living engine of ours that the handoff names."""
    private_dir = private_dir or runtime_dir
    lane = lane_in_service(runtime_dir, pool_id, replica_id, private_dir=private_dir)
    process = own_process(private_dir, pool_id, replica_id, lane)
    if process is None:
        return frozenset()
    told = read_status(status_path(private_dir, pool_id, replica_id, lane))
    return frozenset({process.pid, int(told.get("engine_pid", process.pid))})


def read_status(path: Path) -> dict[str, Any]:
    """Return what the engine's host last told, empty when nothing."""
    try:
        told = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def own_process(
    private_dir: Path, pool_id: str, replica_id: str, lane: int = 0
) -> ProcessIdentity | None:
    """Return the living engine process that an earlier run of ours started for this replica.

    The proof is its command line, which names this replica's status file: a pid that the kernel
    has given to another program since, or one of another pid namespace, is never mistaken.
    """
    status = status_path(private_dir, pool_id, replica_id, lane)
    pid = read_status(status).get("pid")
    if not isinstance(pid, int) or str(status) not in command_line(pid):
        return None
    return identify(pid)
