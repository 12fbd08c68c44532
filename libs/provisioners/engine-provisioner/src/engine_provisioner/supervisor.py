"""One engine process under supervision: the asyncio shell around the state machine."""

import asyncio
import logging
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from engine_provisioner import enginelog, machine
from engine_provisioner.handoff import (
    log_path,
    own_process,
    read_handoff,
    read_status,
    remove_handoff,
    status_path,
    write_handoff,
)
from engine_provisioner.machine import Engine, EngineState, Instruction, Limits, Stimulus
from engine_provisioner.plan import EnginePlan
from engine_provisioner.probe import EngineProbe
from engine_provisioner.process import EngineProcess, identify, resident_pages
from pool_registry_types import HandoffPayload

log = logging.getLogger(__name__)

START_POLL_S = 0.025
LOAD_POLL_S = 0.25
"""A load that takes minutes is asked less and less often, down to this."""
PROBE_INTERVAL_S = 1.0
KEY_BYTES = 24
FROM_OUTSIDE: Mapping[int | None, str] = {
    -signal.SIGKILL: "somebody killed it, or the kernel did for want of memory",
    -signal.SIGTERM: "somebody else told it to end",
}
"""Ends of which the engine's own log knows nothing."""
_WITHOUT_PROCESS = {EngineState.STOPPED, EngineState.BACKOFF, EngineState.FAILED}


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What the supervisor knows at this moment."""

    state: EngineState
    generation: int
    restarts: int
    pid: int | None
    last_error: str | None
    adopted: bool
    compute_pid: int | None = None
    """The process that holds the model: another one where a guardian runs the engine."""


def monotonic_ms() -> int:
    """Return the clock of deadlines."""
    return time.monotonic_ns() // 1_000_000


def wall_ms() -> int:
    """Return the time of day, as it stands in handoff files."""
    return time.time_ns() // 1_000_000


class EngineSupervisor:
    """Starts, watches, restarts and stops one engine, and writes its handoff file.

    One task owns the state. What a process does comes as stimuli from the tasks that attend it;
    a stimulus of an earlier process is dropped.
    """

    def __init__(
        self,
        plan: EnginePlan,
        runtime_dir: Path,
        *,
        probe: EngineProbe,
        limits: Limits,
        on_change: Callable[[EngineStatus], None],
        announce: bool,
        jitter: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._runtime_dir = runtime_dir
        self._probe = probe
        self._limits = limits.for_model(plan.wish.model.size_bytes)
        self._on_change = on_change
        self._jitter = jitter
        self._engine = Engine()
        self._stimuli: asyncio.Queue[tuple[EngineProcess | None, Stimulus]] = asyncio.Queue()
        self._stopped = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self._attendants: set[asyncio.Task[None]] = set()
        self._process: EngineProcess | None = None
        self._payload: HandoffPayload | None = None
        self._key = ""
        self._compute_pid: int | None = None
        self._announced = announce
        self._door = asyncio.Lock()
        names = (runtime_dir, plan.wish.pool_id, plan.wish.replica_id, plan.wish.lane)
        self._status_file = status_path(*names)
        self._log_file = log_path(*names)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        plan: EnginePlan,
        runtime_dir: Path,
        *,
        probe: EngineProbe,
        on_change: Callable[[EngineStatus], None],
        limits: Limits | None = None,
        announce: bool = True,
        keep_on_exit: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> AsyncIterator[Self]:
        """Keep the engine up; on exit stop it and remove its handoff, unless it is to be kept.

        Without `announce` it gets ready without a handoff, until `announce` is called.
        """
        self = cls(
            plan,
            runtime_dir,
            probe=probe,
            limits=limits or Limits(),
            on_change=on_change,
            announce=announce,
            jitter=jitter,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._ask_for_start()
                loop = tasks.create_task(self._run(), name=f"engine {plan.wish.pool_id}")
                try:
                    yield self
                finally:
                    if not keep_on_exit:
                        await self.stop()
                    for task in (loop, *self._attendants):
                        task.cancel()
        finally:
            if self._process:
                self._process.close()

    @property
    def status(self) -> EngineStatus:
        """The state at this moment."""
        engine, process = self._engine, self._process
        return EngineStatus(
            state=engine.state,
            generation=engine.generation,
            restarts=engine.restarts,
            pid=process.pid if process and engine.state not in _WITHOUT_PROCESS else None,
            last_error=engine.last_error,
            adopted=process is not None and not process.child,
            compute_pid=self._compute_pid,
        )

    async def announce(self) -> None:
        """Write the handoff, now if it is ready, in place of any other; raises OSError."""
        self._announced = True
        async with self._door:
            if self._engine.state is EngineState.READY and self._payload:
                await asyncio.to_thread(write_handoff, self._runtime_dir, self._payload)

    def retire(self) -> None:
        """Write no handoff any more: another engine has taken this one's place."""
        self._announced = False

    def _ask_for_start(self) -> None:
        """Look for an engine that an earlier run left, and ask for it, its end, or a new one."""
        for folder in (self._status_file.parent, self._log_file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        wish = self._plan.wish
        names = (self._runtime_dir, wish.pool_id, wish.replica_id)
        payload = read_handoff(*names)
        identity = own_process(*names, wish.lane)
        process = EngineProcess.attach(identity) if identity else None
        if process is None:
            # Whatever handoff an engine of ours left, it is gone.
            if payload is not None and not _trusted_and_alive(payload):
                remove_handoff(*names)
            self._stimuli.put_nowait((None, machine.StartAsked()))
            return
        self._process = process
        stimulus: Stimulus
        if payload is None or payload.pid != process.pid:
            stimulus = machine.ReplaceAsked("an engine of an earlier run was found without handoff")
        elif difference := self._plan.differs_from(payload):
            stimulus = machine.ReplaceAsked(f"an engine of an earlier run had {difference}")
        else:
            self._payload = payload
            stimulus = machine.AdoptAsked()
        self._stimuli.put_nowait((process, stimulus))
        self._attend(
            process, enginelog.size_bytes(self._log_file), payload.url if payload else None
        )

    async def _run(self) -> None:
        while True:
            stimulus = await self._next_stimulus()
            before = self._engine
            self._engine, instructions = machine.step(
                self._limits,
                before,
                stimulus,
                now_ms=monotonic_ms(),
                jitter_ratio=self._jitter(),
            )
            # That an engine is lost is told at once, that one is ready when its handoff is there.
            lost = before.state is EngineState.READY
            if lost:
                self._tell(before)
            for instruction in instructions:
                await self._perform(instruction)
            if not lost:
                self._tell(before)

    async def _next_stimulus(self) -> Stimulus:
        deadline = self._engine.deadline_ms
        wait_s = None if deadline is None else max(0, deadline - monotonic_ms()) / 1000
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    process, stimulus = await self._stimuli.get()
                    if process is None or process is self._process:
                        return stimulus
        except TimeoutError:
            return machine.DeadlinePassed()

    def _tell(self, before: Engine) -> None:
        engine = self._engine
        if engine.state is EngineState.STOPPED and not engine.wanted:
            self._stopped.set()
        if (engine.state, engine.last_error) != (before.state, before.last_error):
            self._on_change(self.status)

    async def _perform(self, instruction: Instruction) -> None:
        match instruction:
            case Instruction.SPAWN:
                self._spawn()
            case Instruction.TERMINATE if self._process:
                self._process.terminate()
            case Instruction.KILL if self._process:
                self._process.kill()
            case Instruction.ANNOUNCE if self._payload and self._announced:
                try:
                    async with self._door:
                        await asyncio.to_thread(write_handoff, self._runtime_dir, self._payload)
                except OSError as error:
                    # Told as ill health, so that the next probe tries again.
                    trouble = machine.Unhealthy(f"the handoff cannot be written: {error}")
                    self._stimuli.put_nowait((None, trouble))
            case Instruction.WITHDRAW:
                try:
                    async with self._door:
                        await asyncio.to_thread(self._withdraw)
                except OSError as error:
                    log.warning(
                        "a handoff of %s cannot be removed: %s", self._plan.wish.pool_id, error
                    )

    def _withdraw(self) -> None:
        names = (self._runtime_dir, self._plan.wish.pool_id, self._plan.wish.replica_id)
        payload = read_handoff(*names)
        of_another = payload is not None and (
            self._process is None or payload.pid != self._process.pid
        )
        if payload is None or not of_another or not _trusted_and_alive(payload):
            remove_handoff(*names)

    def _spawn(self) -> None:
        old = self._process
        if old is not None and old.identity.alive:
            self._stimuli.put_nowait(
                (None, machine.Exited(f"process {old.pid} of this replica cannot be killed"))
            )
            return
        enginelog.trim(self._log_file)
        log_bytes = enginelog.size_bytes(self._log_file)
        self._key = secrets.token_urlsafe(KEY_BYTES)
        self._payload = None
        try:
            self._status_file.unlink(missing_ok=True)
            process = EngineProcess.spawn(
                self._plan.command(self._status_file),
                log_path=self._log_file,
                stdin=f"{self._key}\n".encode(),
                environment=self._plan.environment,
            )
        except OSError as error:
            self._stimuli.put_nowait((None, machine.Exited(f"the engine does not start: {error}")))
            return
        self._process = process
        self._attend(process, log_bytes, None)

    def _attend(self, process: EngineProcess, log_bytes: int, url: str | None) -> None:
        reporter = self._tasks.create_task(self._report(process, url), name=f"probe {process.pid}")
        watcher = self._tasks.create_task(
            self._await_exit(process, log_bytes, reporter), name=f"exit {process.pid}"
        )
        for task in (reporter, watcher):
            self._attendants.add(task)
            task.add_done_callback(self._attendants.discard)

    async def _await_exit(
        self, process: EngineProcess, log_bytes: int, reporter: asyncio.Task[None]
    ) -> None:
        code = await process.exited()
        reporter.cancel()
        told = read_status(self._status_file)
        reason: object
        if code in FROM_OUTSIDE:
            reason = FROM_OUTSIDE[code]
        else:
            reason = enginelog.cause(self._log_file, log_bytes) or told.get("reason")
        self._send(
            process,
            machine.Exited(_describe_exit(code, reason), fatal=told.get("phase") == "failed"),
        )

    async def _report(self, process: EngineProcess, url: str | None) -> None:
        if url is None:
            url = await self._await_url(process)
        self._compute_pid = int(read_status(self._status_file).get("engine_pid", process.pid))
        wish = self._plan.wish
        while (trouble := await self._probe.trouble(url)) is not None:
            self._send(process, machine.Unhealthy(trouble))
            await asyncio.sleep(START_POLL_S)
        key = self._payload.engine_key if self._payload else self._key
        while not (served := await self._probe.models(url, key)):  # noqa: ASYNC110  it is asked
            await asyncio.sleep(LOAD_POLL_S)
        if wish.model.id not in served:
            others = ", ".join(sorted(served))
            self._send(process, machine.Mismatched(f"{url} serves {others}, not {wish.model.id}"))
            return
        self._payload = self._payload or self._handoff(process, url)
        while True:
            trouble = await self._probe.trouble(url)
            self._send(process, machine.Unhealthy(trouble) if trouble else machine.Healthy())
            enginelog.trim(self._log_file)
            await asyncio.sleep(PROBE_INTERVAL_S)

    async def _await_url(self, process: EngineProcess) -> str:
        began, seen, pause_s = False, 0, START_POLL_S
        while True:
            told = read_status(self._status_file)
            if told.get("pid") == process.pid:
                if not began:
                    began = True
                    self._send(process, machine.LoadBegan())
                if told["phase"] == "listening":
                    return str(told["url"])
            # The host may be the guardian of the process that loads.
            pages = resident_pages(int(told.get("engine_pid", process.pid)))
            if began and pages > seen:
                seen = pages
                self._send(process, machine.Progressed())
            await asyncio.sleep(pause_s)
            pause_s = min(LOAD_POLL_S, 1.05 * pause_s)

    def _handoff(self, process: EngineProcess, url: str) -> HandoffPayload:
        plan, wish, identity = self._plan, self._plan.wish, process.identity
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

    def _send(self, process: EngineProcess, stimulus: Stimulus) -> None:
        self._stimuli.put_nowait((process, stimulus))

    async def stop(self) -> None:
        """End the engine and remove its handoff; bounded, by force if need be.

        A cancel meanwhile is kept until the end: it must not leave an engine behind.
        """
        self._stimuli.put_nowait((None, machine.StopAsked()))
        end_ms = monotonic_ms() + 2 * (self._limits.stop_ms + self._limits.kill_ms)
        cancelled: asyncio.CancelledError | None = None
        while not self._stopped.is_set() and monotonic_ms() < end_ms:
            try:
                async with asyncio.timeout((end_ms - monotonic_ms()) / 1000):
                    await self._stopped.wait()
            except TimeoutError:
                if self._process:
                    self._process.kill()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


def _trusted_and_alive(payload: HandoffPayload) -> bool:
    identity = identify(payload.pid)
    return identity is not None and (payload.boot_id, payload.pid_ns, payload.pid_start_ticks) == (
        identity.boot_id,
        identity.pid_ns,
        identity.start_ticks,
    )


def _describe_exit(code: int | None, reason: object) -> str:
    match code:
        case None:
            how = "the engine ended"
        case _ if code < 0:
            how = f"the engine was ended by {signal.Signals(-code).name}"
        case _:
            how = f"the engine ended with exit code {code}"
    return f"{how}: {reason}" if reason else how
