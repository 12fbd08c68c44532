"""Tells the pools that change models which ones tasks wait for, and since when."""

import asyncio
from collections.abc import Mapping

from admission_coordinator.ports import DemandSink, ModelWaits, NowMs
from admission_coordinator.waiting import WaitingRoom
from multi_node_placement import ClusterView, SwappingPool
from orchestrator_core import PoolRef

_REST_S = 0.02
"""Between two tellings: each task is a change, and a pool decides by seconds."""

_Known = Mapping[str, tuple[int, int]]
"""Model → the tasks that wait for it, and since when the oldest does, in Unix ms."""


class DemandTeller:
    """Notes changes for the price of a look at a flag, and tells them together soon after."""

    def __init__(
        self, *, cluster: ClusterView, room: WaitingRoom, sink: DemandSink | None, now_ms: NowMs
    ) -> None:
        self._cluster = cluster
        self._room = room
        self._sink = sink
        self._now_ms = now_ms
        self._due: asyncio.TimerHandle | None = None
        self._told: dict[PoolRef, _Known] = {}
        self._told_at_s = 0.0

    def note(self) -> None:
        """Something that waits, or where it could be served, has changed."""
        if self._sink is None or self._due is not None:
            return
        if self._cluster.swapping.any or self._told:
            loop = asyncio.get_running_loop()
            self._due = loop.call_at(max(loop.time(), self._told_at_s + _REST_S), self._tell)

    def stop(self) -> None:
        """Tell nothing more."""
        self._sink = None
        if self._due is not None:
            self._due.cancel()

    def _tell(self) -> None:
        self._due = None
        self._told_at_s = asyncio.get_running_loop().time()
        now = {pool.pool: self._known(pool) for pool in self._cluster.swapping.pools()}
        now_ms = self._now_ms()
        for pool in [*now, *(self._told.keys() - now.keys())]:
            known = now.get(pool, {})
            if known != self._told.get(pool, {}) and self._sink is not None:
                self._sink.tell_demand(
                    pool,
                    {
                        model_id: ModelWaits(waiting, max(0, now_ms - since_ms))
                        for model_id, (waiting, since_ms) in known.items()
                    },
                )
        self._told = {pool: known for pool, known in now.items() if known}

    def _known(self, pool: SwappingPool) -> _Known:
        known: dict[str, tuple[int, int]] = {}
        for model_id in pool.models:
            line = self._room.find(model_id)
            if line is None or not len(line.queue):
                continue
            fitting = [
                (count, since_ms)
                for constraint, count, since_ms in line.queue.waits()
                if pool.wants(constraint)
            ]
            if fitting:
                waiting = sum(count for count, _ in fitting)
                known[model_id] = waiting, min(since_ms for _, since_ms in fitting)
        return known
