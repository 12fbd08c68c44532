"""What control planes say that tasks wait for, each in the order in which it said it."""

from collections.abc import Callable
from uuid import UUID

from local_pool_manager import Demand, LocalPoolManager
from service_discovery_types import PoolDemand


class ToldDemand:
    """Passes on what is newer than what the same control plane told before."""

    def __init__(self, pools: LocalPoolManager, *, now_ms: Callable[[], int]) -> None:
        self._pools = pools
        self._now_ms = now_ms
        self._newest: dict[tuple[str, UUID], tuple[int, int]] = {}
        """By pool and source: the last number, and until when it counts."""

    def take(self, pool_id: str, told: PoolDemand) -> bool:
        """Take a message, unless a newer one has come; raises PoolError."""
        now_ms, key = self._now_ms(), (pool_id, told.source)
        self._newest = {k: known for k, known in self._newest.items() if known[1] > now_ms}
        seq, _ = self._newest.get(key, (-1, 0))
        if told.seq <= seq:
            return False
        self._pools.demand(
            pool_id,
            {each.model_id: Demand(each.waiting, each.oldest_ms) for each in told.models},
            source=str(told.source),
            valid_ms=told.valid_ms,
            max_wait_ms=told.max_wait_ms,
        )
        self._newest[key] = told.seq, now_ms + told.valid_ms
        return True
