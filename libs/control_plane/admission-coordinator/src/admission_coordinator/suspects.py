"""Replicas that are not trusted now: no new task until they have answered."""

import asyncio
from collections.abc import Awaitable, Callable

from adapter_api import AdapterError, WorkerAdapter
from multi_node_placement import ClusterView, Reservation
from orchestrator_core import ReplicaKey

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class Suspects:
    """Marks replicas in the cluster view and asks them until they answer or are replaced."""

    def __init__(self, cluster: ClusterView, *, group: asyncio.TaskGroup, confirm_ms: int) -> None:
        self._cluster = cluster
        self._group = group
        self._confirm_ms = confirm_ms
        self._watches: dict[ReplicaKey, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def watch_health(self, adapter: WorkerAdapter, reservation: Reservation) -> None:
        """Suspect a replica whose stream broke until it says that it is ready."""

        async def healthy() -> bool:
            return (await adapter.health()).ready

        self._watch(reservation, healthy, release=False)

    def watch_stop(self, adapter: WorkerAdapter, task_id: str, reservation: Reservation) -> None:
        """Suspect a replica that has not confirmed a stop; its slot stays taken until it has."""

        async def stopped() -> bool:
            return await adapter.confirm_stopped(task_id, timeout_ms=self._confirm_ms)

        self._watch(reservation, stopped, release=True)

    def stop(self) -> None:
        """Ask no more; for shutting down."""
        for task in self._tasks:
            task.cancel()

    def _watch(
        self, reservation: Reservation, answered: Callable[[], Awaitable[bool]], *, release: bool
    ) -> None:
        if not self._current(reservation):
            self._settle(reservation, release=release)
            return
        key = reservation.key
        self._watches[key] = self._watches.get(key, 0) + 1
        self._cluster.mark_suspect(key)
        task = self._group.create_task(
            self._ask(reservation, answered, release=release), name=f"suspect {key.replica_id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(
        self, reservation: Reservation, answered: Callable[[], Awaitable[bool]], *, release: bool
    ) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._current(reservation) and not await _or_no(answered):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        key = reservation.key
        self._watches[key] -= 1
        if not self._watches[key]:
            del self._watches[key]
            self._cluster.clear_suspect(key)
        self._settle(reservation, release=release)

    def _settle(self, reservation: Reservation, *, release: bool) -> None:
        if release:
            self._cluster.release(reservation)

    def _current(self, reservation: Reservation) -> bool:
        """Whether the replica is still the engine process that is suspected."""
        view = self._cluster.get(reservation.key)
        return view is not None and view.generation == reservation.generation


async def _or_no(answered: Callable[[], Awaitable[bool]]) -> bool:
    """Ask; an engine that cannot be asked has not answered."""
    try:
        return await answered()
    except AdapterError:
        return False
