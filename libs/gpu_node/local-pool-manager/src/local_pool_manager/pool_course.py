"""Tells and measures what becomes of the pools of this machine."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from local_pool_manager.ports import PoolObserver
from local_pool_manager.types import ChangeOutcome
from narration_core import get_logger
from pool_registry_types import PoolSnapshot


@dataclass(slots=True)
class _Seen:
    pool: PoolSnapshot
    drained_since_ms: int | None = None
    """Set while a drain has not come to its end."""


class PoolCourse:
    """Looks at a pool whenever it has changed; `look` is what to subscribe with, without leases.

    What `known` pools have behind them is not told: a drain of an earlier run is none of ours.
    """

    def __init__(
        self,
        observer: PoolObserver,
        snapshot: Callable[[str], PoolSnapshot],
        *,
        known: Iterable[PoolSnapshot] = (),
        now_ms: Callable[[], int],
    ) -> None:
        self._observer = observer
        self._snapshot = snapshot
        self._now_ms = now_ms
        self._seen = {pool.pool_id: _first_seen(pool) for pool in known}
        self._log = get_logger(component="pools")

    def look(self, pool_id: str) -> None:
        """See what has changed since the last look."""
        pool = self._snapshot(pool_id)
        seen = self._seen.setdefault(pool_id, _first_seen(pool))
        before, seen.pool = seen.pool, pool
        self._look_at_drain(seen, before)
        restarts = _restarts(pool) - _restarts(before)
        if restarts > 0:
            self._observer.engines_restarted(pool_id, "engine_lost", restarts)
        if pool.ready and (not before.ready or pool.model_id != before.model_id):
            self._tell(
                pool, "pool_ready", f"serves model {pool.model_id} on {pool.slots_total} slots."
            )
        elif before.ready and not pool.ready and not pool.draining:
            self._tell(pool, "pool_not_ready", f"is not ready: {pool.last_error or pool.state}")

    def follow_reload(
        self, pool_id: str, model_ref: str, outcome: "asyncio.Future[ChangeOutcome]"
    ) -> None:
        """Measure a change of models to its end."""
        began_ms = self._now_ms()
        pool = self._snapshot(pool_id)
        self._tell(pool, "pool_reloading", f"is to serve {model_ref}.")
        outcome.add_done_callback(partial(self._reloaded, pool_id, began_ms))

    def _reloaded(
        self, pool_id: str, began_ms: int, outcome: "asyncio.Future[ChangeOutcome]"
    ) -> None:
        if outcome.cancelled():
            return
        error = outcome.result().error
        told = "rolled_back" if error else "changed"
        self._observer.reload_ended(pool_id, told, self._now_ms() - began_ms)
        pool = self._snapshot(pool_id)
        if error:
            self._tell(pool, "pool_reload_failed", f"keeps what it had: {error}")
        else:
            self._tell(pool, "pool_reloaded", f"has model {pool.model_id} now.")

    def _look_at_drain(self, seen: _Seen, before: PoolSnapshot) -> None:
        pool, since_ms = seen.pool, seen.drained_since_ms
        if pool.draining and not before.draining:
            seen.drained_since_ms = since_ms = self._now_ms()
            self._tell(pool, "pool_draining", "takes no new task; what runs may finish.")
        if since_ms is not None and (not pool.draining or not pool.active_leases):
            told = "emptied" if not pool.active_leases else "resumed"
            self._observer.drain_ended(pool.pool_id, told, self._now_ms() - since_ms)
            seen.drained_since_ms = None
            if pool.draining:
                self._tell(pool, "pool_drained", "is empty.")
        if before.draining and not pool.draining:
            self._tell(pool, "pool_resumed", "takes tasks again.")

    def _tell(self, pool: PoolSnapshot, event: str, sentence: str) -> None:
        self._log.info(
            event,
            pool_id=pool.pool_id,
            model_id=pool.model_id,
            engine=pool.engine,
            engine_version=pool.engine_version,
            human=f"Pool {pool.pool_id} {sentence}",
        )


def _first_seen(pool: PoolSnapshot) -> _Seen:
    # That it is ready is news in any case.
    return _Seen(pool.model_copy(update={"ready": False}))


def _restarts(pool: PoolSnapshot) -> int:
    return sum(replica.restarts for replica in pool.replicas)
