"""Measures the drains and reloads of this node's pools, by what they show of themselves."""

import asyncio
from collections.abc import Callable

from local_pool_manager import ChangeOutcome
from pool_registry_types import PoolSnapshot
from telemetry_core import PoolMetrics


class PoolCourse:
    """Looks at a pool whenever it has changed; a drain of an earlier run is none of ours."""

    def __init__(
        self,
        metrics: PoolMetrics,
        snapshot: Callable[[str], PoolSnapshot],
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._metrics = metrics
        self._snapshot = snapshot
        self._now_ms = now_ms
        self._drained_since_ms: dict[str, int] = {}

    def drain_begun(self, pool_id: str) -> None:
        """Note that a drain begins; one that goes on already goes on."""
        self._drained_since_ms.setdefault(pool_id, self._now_ms())

    def look(self, pool_id: str) -> None:
        """See whether a drain has come to its end."""
        since_ms = self._drained_since_ms.get(pool_id)
        if since_ms is None:
            return
        pool = self._snapshot(pool_id)
        if not pool.draining or not pool.active_leases:
            del self._drained_since_ms[pool_id]
            outcome = "emptied" if not pool.active_leases else "resumed"
            self._metrics.drain_ended(pool_id, outcome, self._now_ms() - since_ms)

    def follow_reload(self, pool_id: str, reload: "asyncio.Future[ChangeOutcome]") -> None:
        """Measure a change of models to its end."""
        began_ms = self._now_ms()

        def over(ended: "asyncio.Future[ChangeOutcome]") -> None:
            if not ended.cancelled():
                outcome = "rolled_back" if ended.result().error else "changed"
                self._metrics.reload_ended(pool_id, outcome, self._now_ms() - began_ms)

        reload.add_done_callback(over)
