"""Which pools are drained: remembered across restarts until they are resumed."""

import json
from pathlib import Path

FILE = Path("state", "drained.json")
"""Below the runtime folder, where no watcher takes it for a handoff."""


def load_drained(runtime_dir: Path) -> set[str]:
    """Return the drained pools; an unreadable file means none, as it never blocks a start."""
    try:
        told = json.loads((runtime_dir / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return set()
    return {name for name in told if isinstance(name, str)} if isinstance(told, list) else set()


def save_drained(runtime_dir: Path, pools: set[str]) -> None:
    """Remember the drained pools, all or nothing."""
    path = runtime_dir / FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(sorted(pools)), encoding="utf-8")
    draft.replace(path)
