"""Watches an engine that somebody else started: asks and looks, but never touches it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from engine_provisioner import EngineProbe, EngineProcess, ProcessIdentity
from pool_registry_types import HandoffPayload

INTERVAL_S = 1.0

Tell = Callable[[bool, str | None], None]


@dataclass(frozen=True, slots=True)
class Generations:
    """Trial of an engine whose health says nothing: vLLM's is well when one rank is lost."""

    every_s: float
    idle: Callable[[], bool]
    """Whether nothing of ours runs there: what runs tells as much, and is not to be slowed."""


async def watch_engine(
    payload: HandoffPayload,
    probe: EngineProbe,
    tell: Tell,
    *,
    pid_trusted: bool,
    interval_s: float = INTERVAL_S,
    generations: Generations | None = None,
) -> None:
    """Tell whether it serves its model, until its process has ended; for ever without a pid."""
    watch = _Watch(payload, probe, tell, interval_s, generations)
    process = _attach(payload) if pid_trusted else None
    if pid_trusted and process is None:
        tell(False, f"process {payload.pid} of its handoff does not run")
        return
    if process is None:
        await watch.ask()
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(watch.ask())
            await process.exited()
            asking.cancel()
    finally:
        process.close()
    tell(False, f"process {payload.pid} has ended")


@dataclass(frozen=True, slots=True)
class _Watch:
    """The questions, over and over."""

    payload: HandoffPayload
    probe: EngineProbe
    tell: Tell
    interval_s: float
    generations: Generations | None

    async def ask(self) -> None:
        known = False
        mute: str | None = None
        due_s = 0.0
        while True:
            trouble = await self.probe.trouble(self.payload.url, pool_id=self.payload.pool_id)
            if trouble is None and not known:
                served = await self.probe.models(self.payload.url, self.payload.engine_key)
                known = self.payload.model.id in served
                if not known:
                    trouble = f"{self.payload.url} does not serve {self.payload.model.id}"
            if trouble is None and (trial := self.generations) is not None:
                now_s = asyncio.get_running_loop().time()
                if now_s >= due_s and trial.idle():
                    due_s = now_s + trial.every_s
                    mute = await self._generate()
                trouble = mute
            self.tell(trouble is None, trouble)
            await asyncio.sleep(self.interval_s)

    async def _generate(self) -> str | None:
        payload = self.payload
        return await self.probe.generation(payload.url, payload.model.id, payload.engine_key)


def _attach(payload: HandoffPayload) -> EngineProcess | None:
    if payload.pid_start_ticks is None or payload.boot_id is None or payload.pid_ns is None:
        return None
    return EngineProcess.attach(
        ProcessIdentity(payload.pid, payload.pid_start_ticks, payload.boot_id, payload.pid_ns)
    )
