"""Which pools are drained: remembered across restarts until they are resumed."""

import asyncio
import json
from pathlib import Path

from local_pool_manager.registry import Registry

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


class Drains:
    """Begins and ends drains; at the deadline of one, what still runs is revoked."""

    def __init__(self, registry: Registry, runtime_dir: Path) -> None:
        self._registry = registry
        self._runtime_dir = runtime_dir
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self, pool_id: str, deadline_ms: int) -> None:
        """Refuse new leases, also after a restart; raises `PoolNotFound`."""
        self._set(pool_id, draining=True)
        self._timers[pool_id] = asyncio.get_running_loop().call_later(
            deadline_ms / 1000, self._revoke, pool_id
        )

    def end(self, pool_id: str) -> None:
        """Allow leases again; raises `PoolNotFound`."""
        self._set(pool_id, draining=False)

    def close(self) -> None:
        """Revoke nothing any more."""
        for timer in self._timers.values():
            timer.cancel()

    def _set(self, pool_id: str, *, draining: bool) -> None:
        self._registry.pool(pool_id).draining = draining
        if timer := self._timers.pop(pool_id, None):
            timer.cancel()
        save_drained(
            self._runtime_dir,
            {name for name, pool in self._registry.pools.items() if pool.draining},
        )
        self._registry.touch(pool_id)

    def _revoke(self, pool_id: str) -> None:
        for replica in self._registry.pools[pool_id].replicas.values():
            if replica.leases is not None:
                replica.leases.revoke(f"pool {pool_id!r} was drained and its deadline has passed")
