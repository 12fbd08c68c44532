"""Attends one engine process: what it does comes out as stimuli of the state machine."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engine_provisioner import enginelog, machine
from engine_provisioner.containers import remove_container
from engine_provisioner.handoff import read_status
from engine_provisioner.machine import Stimulus
from engine_provisioner.plan import EnginePlan
from engine_provisioner.probe import EngineProbe
from engine_provisioner.process import EngineProcess, oom_kills, resident_pages
from pool_registry_types import HandoffPayload

START_POLL_S = 0.025
LOAD_POLL_S = 0.25
"""A load that takes minutes is asked less and less often, down to this."""
PROBE_INTERVAL_S = 1.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
FROM_OUTSIDE: Mapping[int | None, str] = {
    -signal.SIGKILL: "somebody killed it",
    -signal.SIGTERM: "somebody else told it to end",
}
"""Ends of which the engine's own log knows nothing."""


class Attendant:
    """Follows a process from its start, or its adoption, to its end."""

    def __init__(
        self,
        process: EngineProcess,
        plan: EnginePlan,
        *,
        probe: EngineProbe,
        status_file: Path,
        log_file: Path,
        log_since_bytes: int,
        key: str = "",
        payload: HandoffPayload | None = None,
    ) -> None:
        self.process = process
        self.payload = payload
        """What its handoff says; None until it serves what was planned."""
        self.compute_pid: int | None = None
        """The process that holds the model: another one where a guardian runs the engine."""
        self.loaded_bytes = 0
        """What that process has had in memory at most, while it loaded."""
        self._plan = plan
        self._probe = probe
        self._status_file = status_file
        self._log_file = log_file
        self._log_since_bytes = log_since_bytes
        self._oom_kills = oom_kills()
        self._key = payload.engine_key if payload else key

    async def run(self, tell: Callable[[Stimulus], None]) -> None:
        """Tell everything up to the end; cancelled, it leaves the process as it is."""
        async with asyncio.TaskGroup() as tasks:
            reporter = tasks.create_task(self._report(tell), name=f"probe {self.process.pid}")
            code = await self.process.exited()
            reporter.cancel()
        told = read_status(self._status_file)
        if code != 0:
            # A guardian that was killed has left its container.
            await remove_container(told.get("container"))
        reason: object
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills:
            reason = "the host is out of memory: the kernel killed it (OOM)"
        elif code in FROM_OUTSIDE:
            reason = FROM_OUTSIDE[code]
        else:
            reason = enginelog.cause(self._log_file, self._log_since_bytes) or told.get("reason")
        tell(machine.Exited(_describe_exit(code, reason), fatal=told.get("phase") == "failed"))

    async def _report(self, tell: Callable[[Stimulus], None]) -> None:
        url = self.payload.url if self.payload else await self._await_url(tell)
        told = read_status(self._status_file)
        self.compute_pid = int(told.get("engine_pid", self.process.pid))
        pool_id = self._plan.wish.pool_id
        while (trouble := await self._probe.trouble(url, pool_id=pool_id)) is not None:
            tell(machine.Unhealthy(trouble))
            await asyncio.sleep(START_POLL_S)
        while not (served := await self._probe.models(url, self._key)):  # noqa: ASYNC110  it is asked
            await asyncio.sleep(LOAD_POLL_S)
        model_id = self._plan.wish.model.id
        if model_id not in served:
            others = ", ".join(sorted(served))
            tell(machine.Mismatched(f"{url} serves {others}, not {model_id}"))
            return
        self.payload = self.payload or self._handoff(url)
        while True:
            trouble = await self._probe.trouble(url, pool_id=pool_id)
            tell(machine.Unhealthy(trouble) if trouble else machine.Healthy())
            enginelog.trim(self._log_file)
            await asyncio.sleep(PROBE_INTERVAL_S)

    async def _await_url(self, tell: Callable[[Stimulus], None]) -> str:
        process = self.process
        began, pause_s = False, START_POLL_S
        while True:
            told = read_status(self._status_file)
            if told.get("pid") == process.pid:
                if not began:
                    began = True
                    tell(machine.LoadBegan())
                if told["phase"] == "listening":
                    return str(told["url"])
            # The host may be the guardian of the process that loads.
            held = PAGE_BYTES * resident_pages(int(told.get("engine_pid", process.pid)))
            if began and held > self.loaded_bytes:
                self.loaded_bytes = held
                tell(machine.Progressed())
            await asyncio.sleep(pause_s)
            pause_s = min(LOAD_POLL_S, 1.05 * pause_s)

    def _handoff(self, url: str) -> HandoffPayload:
        plan, wish, identity = self._plan, self._plan.wish, self.process.identity
        return HandoffPayload(
            pool_id=wish.pool_id,
            replica_id=wish.replica_id,
            engine=wish.engine,
            engine_version=plan.engine_version,
            url=url,
            device_mask=plan.device_mask,
            slots=wish.slots,
            pid=identity.pid,
            ctx_max=wish.ctx_tokens,
            model=wish.model,
            flags=plan.flags,
            created_ms=wall_ms(),
            boot_id=identity.boot_id,
            pid_start_ticks=identity.start_ticks,
            pid_ns=identity.pid_ns,
            engine_key=self._key,
        )


def wall_ms() -> int:
    """Return the time of day, as it stands in handoff files."""
    return time.time_ns() // 1_000_000


def _describe_exit(code: int | None, reason: object) -> str:
    match code:
        case None:
            how = "the engine ended"
        case _ if code < 0:
            how = f"the engine was ended by {signal.Signals(-code).name}"
        case _:
            how = f"the engine ended with exit code {code}"
    return f"{how}: {reason}" if reason else how
