"""The only door between provisioning and pools: what handoff files tell, as it reaches replicas."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Self

from engine_provisioner import EngineProbe
from handoff_watcher import (
    HandoffAppeared,
    HandoffChanged,
    HandoffEvent,
    HandoffMalformed,
    HandoffVanished,
    HandoffWatcher,
    PidState,
    WatchSettings,
    WatchTrouble,
)
from local_pool_manager.config import PoolConfig, ProvisioningConfig, ProvisioningMode
from local_pool_manager.foreign import Generations, watch_engine
from local_pool_manager.ports import OnHandoff
from local_pool_manager.registry import Registry
from local_pool_manager.replica import Replica
from pool_registry_types import HandoffPayload

NO_POOL = "none"
"""The pool of a file that cannot be read."""

log = logging.getLogger(__name__)


class Door:
    """Takes engines in and out as their files come and go; watches those of somebody else."""

    def __init__(
        self,
        registry: Registry,
        probe: EngineProbe,
        tasks: asyncio.TaskGroup,
        *,
        strangers: bool,
        on_handoff: OnHandoff,
    ) -> None:
        self._registry = registry
        self._processed = on_handoff
        self._began_ms = _wall_ms()
        self._probe = probe
        self._tasks = tasks
        self._strangers = strangers
        self._foreign: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._expected = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        registry: Registry,
        probe: EngineProbe,
        settings: WatchSettings,
        *,
        strangers: bool = True,
        on_handoff: OnHandoff | None = None,
    ) -> AsyncIterator[Self]:
        """Watch as long as the context is open; on entry all files there are have been told.

        Without `strangers` only engines of configured pools are let in.
        """
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            told = on_handoff or (lambda _pool_id, _outcome, _took_ms: None)
            self = cls(registry, probe, tasks, strangers=strangers, on_handoff=told)
            stack.callback(self._stop_watching_all)
            watcher = await stack.enter_async_context(
                HandoffWatcher.running(settings, self._on_handoff)
            )
            hurrying = tasks.create_task(self._hurry(watcher), name="handoff-hurry")
            stack.callback(hurrying.cancel)
            yield self

    def expect(self) -> None:
        """Look for a file as soon as we know that there is one, instead of at the next event."""
        self._expected.set()

    async def _hurry(self, watcher: HandoffWatcher) -> None:
        while True:
            await self._expected.wait()
            self._expected.clear()
            await watcher.rescan()

    async def _on_handoff(self, event: HandoffEvent) -> None:
        processed = self._processed
        match event:
            case (
                HandoffAppeared(payload=payload, pid=pid) | HandoffChanged(payload=payload, pid=pid)
            ):
                self._take_over(payload, pid)
                outcome = "appeared" if isinstance(event, HandoffAppeared) else "changed"
                took_ms = _wall_ms() - max(payload.created_ms, self._began_ms)
                processed(payload.pool_id, outcome, max(0.0, took_ms))
            case HandoffVanished(payload=payload):
                self._hand_back(payload)
                processed(payload.pool_id, "vanished", None)
            case HandoffMalformed(file=file, reason=reason):
                processed(NO_POOL, "malformed", None)
                log.warning("handoff file %s cannot be used: %s", file, reason)
            case WatchTrouble(reason=reason):
                log.warning("handoff files: %s", reason)

    def _take_over(self, payload: HandoffPayload, pid: PidState) -> None:
        registry = self._registry
        if not self._strangers and payload.pool_id not in registry.pools:
            return
        pool = registry.pools.get(payload.pool_id) or registry.add_pool(_foreign_config(payload))
        replica = pool.replicas.get(payload.replica_id) or registry.add_replica(
            pool, payload.replica_id, supervised=False
        )
        watched = replica.takes_again(payload) and self._watches(replica)
        replica.take_over(payload)
        if not (replica.supervised or watched):
            self._stop_watching(replica)
            self._foreign[replica.pool_id, replica.replica_id] = self._tasks.create_task(
                watch_engine(
                    payload,
                    self._probe,
                    partial(self._on_answer, replica),
                    pid_trusted=pid is not PidState.UNTRUSTED,
                    generations=_generations(pool.config, replica),
                ),
                name=f"foreign engine {replica.pool_id}/{replica.replica_id}",
            )
        registry.refresh(replica)

    def _hand_back(self, payload: HandoffPayload) -> None:
        if not self._strangers and payload.pool_id not in self._registry.pools:
            return
        replica = self._registry.replica(payload.pool_id, payload.replica_id)
        if replica.handoff is not None and replica.handoff.pid != payload.pid:
            return  # Another engine has taken over since.
        if replica.serves:
            replica.trouble = "its handoff file was removed by somebody else"
        replica.handoff = None
        self._stop_watching(replica)
        self._registry.refresh(replica)

    def _on_answer(self, replica: Replica, answers: bool, trouble: str | None) -> None:
        if (answers, trouble) != (replica.answers, replica.trouble):
            replica.answers, replica.trouble = answers, trouble
            self._registry.refresh(replica)

    def _watches(self, replica: Replica) -> bool:
        task = self._foreign.get((replica.pool_id, replica.replica_id))
        return task is not None and not task.done()

    def _stop_watching(self, replica: Replica) -> None:
        replica.answers = False
        if task := self._foreign.pop((replica.pool_id, replica.replica_id), None):
            task.cancel()

    def _stop_watching_all(self) -> None:
        for task in self._foreign.values():
            task.cancel()


def _generations(config: PoolConfig, replica: Replica) -> Generations | None:
    if config.generation_probe_ms is None:
        return None
    return Generations(config.generation_probe_ms / 1000, lambda: not replica.is_leased)


def _wall_ms() -> float:
    """Return the clock that handoff files are stamped with."""
    return time.time_ns() / 1_000_000


def _foreign_config(payload: HandoffPayload) -> PoolConfig:
    return PoolConfig(
        id=payload.pool_id,
        engine=payload.engine,
        slots=payload.slots,
        provisioning=ProvisioningConfig(mode=ProvisioningMode.EXTERNAL),
    )
