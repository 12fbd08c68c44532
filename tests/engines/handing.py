"""What a provisioner of somebody else's does when its engine is up."""

import json
import time
from pathlib import Path
from typing import Any

from .asking import MODEL
from .installed import EngineProcess


def external_pool(pool_id: str, kind: str, slots: int) -> dict[str, Any]:
    """The table of a pool whose engine somebody else starts."""
    return {
        "id": pool_id,
        "engine": kind,
        "model_ref": MODEL,
        "slots": slots,
        "provisioning": {"mode": "external"},
    }


def hand_over(
    engine: EngineProcess, runtime_dir: Path, *, pool_id: str, kind: str, slots: int, ctx: int
) -> None:
    """Write the handoff file of an engine, as docs/engines.md has it."""
    handoff = {
        "schema": 1,
        "pool_id": pool_id,
        "replica_id": "r0",
        "engine": kind,
        "engine_version": "0",
        "url": engine.url,
        "slots": slots,
        "pid": engine.pid,
        "ctx_max": ctx,
        "model": {"id": MODEL, "path": "/nowhere/tiny", "size_bytes": 0},
        "created_ms": int(time.time() * 1000),
        "engine_key": engine.key,
    }
    runtime_dir.mkdir(parents=True, exist_ok=True)
    file = runtime_dir / f"{pool_id}-r0.json"
    draft = file.with_suffix(".new")
    draft.touch(0o600)
    draft.write_text(json.dumps(handoff))
    draft.replace(file)
