"""Wishes for another model, as files: how a pool manager asks a provisioner that runs apart."""

import os
from pathlib import Path

from pydantic import ValidationError

from pool_registry_types import DesiredModel

DESIRED_DIR = "desired"


def desired_path(runtime_dir: Path, pool_id: str) -> Path:
    """Return where the wish of this pool is written."""
    return runtime_dir / DESIRED_DIR / f"{pool_id}.json"


def read_desired(runtime_dir: Path, pool_id: str) -> DesiredModel | None:
    """Return the wish that stands, None when there is none that can be used."""
    try:
        return DesiredModel.model_validate_json(desired_path(runtime_dir, pool_id).read_bytes())
    except (OSError, ValidationError):
        return None


def write_desired(runtime_dir: Path, pool_id: str, model_ref: str) -> DesiredModel:
    """Put a new wish in the place of any other, whole or not at all; raises OSError."""
    path = desired_path(runtime_dir, pool_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = read_desired(runtime_dir, pool_id)
    wish = DesiredModel(generation=before.generation + 1 if before else 1, model_ref=model_ref)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    with draft.open("w", encoding="utf-8") as file:
        file.write(wish.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return wish
