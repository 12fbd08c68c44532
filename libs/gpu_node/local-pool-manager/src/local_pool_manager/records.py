"""What a pool remembers across restarts: its model, and what an engine really took."""

import json
from pathlib import Path

from engine_provisioner import EnginePlan

MODELS_FILE = Path("state", "models.json")
MEMORY_FILE = Path("state", "memory.json")
"""Below the runtime folder, where no watcher takes them for handoffs."""


class ModelChoices:
    """The models that reloads and swaps put in place of the configured ones; blocks."""

    def __init__(self, runtime_dir: Path) -> None:
        self._path = runtime_dir / MODELS_FILE

    def of(self, pool_id: str, configured: str | None) -> str | None:
        """Return the pool's model: the last one chosen, unless the operator chose anew since."""
        told = _load(self._path).get(pool_id)
        if isinstance(told, dict) and told.get("configured") == configured:
            chosen = told.get("model_ref")
            return chosen if isinstance(chosen, str) else None
        return configured

    def choose(self, pool_id: str, configured: str | None, model_ref: str | None) -> None:
        """Remember a choice; raises OSError."""
        told = _load(self._path)
        if model_ref == configured:
            told.pop(pool_id, None)
        else:
            told[pool_id] = {"configured": configured, "model_ref": model_ref}
        _save(self._path, told)


class MeasuredMemory:
    """What engines were seen to take, by model, engine, context and slots; blocks on `record`."""

    def __init__(self, runtime_dir: Path) -> None:
        self._path = runtime_dir / MEMORY_FILE
        self._known: dict[str, object] | None = None

    def of(self, plan: EnginePlan) -> int | None:
        """Return the bytes that such an engine took when it last ran here."""
        if self._known is None:
            self._known = _load(self._path)
        found = self._known.get(memory_key(plan))
        return found if isinstance(found, int) else None

    def record(self, plan: EnginePlan, total_bytes: int) -> None:
        """Remember what it took; raises OSError."""
        self._known = {**_load(self._path), memory_key(plan): total_bytes}
        _save(self._path, self._known)


def memory_key(plan: EnginePlan) -> str:
    """Return what decides the memory of an engine."""
    wish = plan.wish
    return "|".join(
        (
            wish.model.digest or wish.model.path,
            plan.engine_version,
            f"ctx={wish.ctx_tokens}",
            f"slots={wish.slots}",
            f"devices={len(wish.devices)}",
        )
    )


def _load(path: Path) -> dict[str, object]:
    # An unreadable file means that nothing is known: it never blocks a start.
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _save(path: Path, told: dict[str, object]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")
    draft.replace(path)
