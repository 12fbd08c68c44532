"""The engines of one pool that run one model: started, announced and stopped together."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from catalog_core import ModelEntry
from engine_provisioner import EnginePlan, EngineState, EngineStatus, EngineSupervisor
from local_pool_manager.memory import MemoryNeed


class Supervise(Protocol):
    """How an engine is put under supervision: `EngineSupervisor.running` of this machine."""

    def __call__(
        self, plan: EnginePlan, *, on_change: Callable[[EngineStatus], None], announce: bool
    ) -> AbstractAsyncContextManager[EngineSupervisor]:
        """Keep the engine up as long as the context is open."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """A model that a pool can serve, with the plans of its engines."""

    model_ref: str
    model: ModelEntry
    plans: tuple[EnginePlan, ...]
    need: MemoryNeed
    """Of one engine."""


class Crew:
    """One engine a replica, under supervision from `run` on until `end`."""

    def __init__(
        self,
        target: Target,
        *,
        supervise: Supervise,
        tell: Callable[[EnginePlan, EngineStatus], None],
        announced: bool,
        keep_engines: bool,
    ) -> None:
        self.target = target
        self.announced = announced
        self.statuses: dict[str, EngineStatus] = {}
        self._supervise = supervise
        self._tell = tell
        self._keep_engines = keep_engines
        self._kept = False
        self._all_pids: set[int] = set()
        self._failure: str | None = None
        self._changed = asyncio.Event()
        self._end = asyncio.Event()
        self._ended = asyncio.Event()
        self._supervisors: dict[str, EngineSupervisor] = {}

    @property
    def pids(self) -> frozenset[int]:
        """The engines' processes."""
        return frozenset(pid for status in self.statuses.values() for pid in _pids(status))

    @property
    def all_pids(self) -> frozenset[int]:
        """Every process that they ever had."""
        return frozenset(self._all_pids)

    @property
    def up(self) -> bool:
        """Whether each engine has got ready or given up, and loads no more."""
        loading = {EngineState.STARTING, EngineState.LOADING}
        return not any(status.state in loading for status in self.statuses.values())

    @property
    def hopeless(self) -> bool:
        """Whether an engine has said that another try would end in the same way."""
        return any(status.state is EngineState.FAILED for status in self.statuses.values())

    @property
    def loaded_bytes(self) -> int:
        """What the engines have in memory, as far as it can be seen."""
        return sum(status.loaded_bytes for status in self.statuses.values())

    async def run(self) -> None:
        """Keep the engines up until `end`."""
        try:
            async with asyncio.TaskGroup() as group:
                for plan in self.target.plans:
                    wish = plan.wish
                    name = f"engine {wish.pool_id}/{wish.replica_id} in lane {wish.lane}"
                    group.create_task(self._run(plan), name=name)
        finally:
            self._ended.set()

    async def ready(self) -> str | None:
        """Wait until all are ready; the result is the reason when one of them fails instead."""
        while True:
            if self._failure is not None:
                return self._failure
            states = [status.state for status in self.statuses.values()]
            if states == [EngineState.READY] * len(self.target.plans):
                return None
            self._changed.clear()
            await self._changed.wait()

    async def announce(self) -> None:
        """Write the handoffs, in place of others; raises OSError."""
        self.announced = True
        for supervisor in self._supervisors.values():
            await supervisor.announce()

    def retire(self) -> None:
        """Write no handoff any more: other engines have taken over."""
        self.announced = False
        for supervisor in self._supervisors.values():
            supervisor.retire()

    async def stop(self) -> None:
        """Stop the engines and wait for their end."""
        self.end()
        await self._ended.wait()

    def end(self, *, kept: bool = False) -> None:
        """Begin to stop; kept engines go on if they are announced and that is configured."""
        self._kept = kept and self.announced
        self._end.set()

    async def _run(self, plan: EnginePlan) -> None:
        async with self._supervise(
            plan, on_change=lambda status: self._on_change(plan, status), announce=self.announced
        ) as supervisor:
            self._supervisors[plan.wish.replica_id] = supervisor
            await self._end.wait()
            # The context leaves engines alone where they are to be kept on exit.
            if self._keep_engines and not self._kept:
                await supervisor.stop()

    def _on_change(self, plan: EnginePlan, status: EngineStatus) -> None:
        self.statuses[plan.wish.replica_id] = status
        self._all_pids.update(_pids(status))
        if status.state in {EngineState.BACKOFF, EngineState.FAILED} and self._failure is None:
            self._failure = status.last_error or "its engine failed"
        self._changed.set()
        self._tell(plan, status)


def _pids(status: EngineStatus) -> Iterator[int]:
    if status.pid:
        yield status.pid
        if status.compute_pid:
            yield status.compute_pid
