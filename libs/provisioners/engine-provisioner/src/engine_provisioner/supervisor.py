"""One engine process under supervision: the asyncio shell around the state machine."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from engine_provisioner import enginelog, machine
from engine_provisioner.attendant import Attendant
from engine_provisioner.earlier import find_earlier, trusted_and_alive
from engine_provisioner.handoff import (
    log_path,
    read_handoff,
    remove_handoff,
    status_path,
    write_handoff,
)
from engine_provisioner.machine import Engine, EngineState, Instruction, Limits, Stimulus
from engine_provisioner.plan import EnginePlan
from engine_provisioner.probe import EngineProbe
from engine_provisioner.process import EngineProcess
from engine_provisioner.wish import EngineMode
from pool_registry_types import HandoffPayload

log = logging.getLogger(__name__)

KEY_BYTES = 24
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
    loaded_bytes: int = 0
    """What that process has had in memory at most, while it loads."""


def monotonic_ms() -> int:
    """Return the clock of deadlines."""
    return time.monotonic_ns() // 1_000_000


def unsealed(payload: HandoffPayload) -> HandoffPayload:
    """Leave a handoff as it is."""
    return payload


class EngineSupervisor:
    """Starts, watches, restarts and stops one engine, and writes its handoff file.

    One task owns the state. What a process does comes as stimuli from its attendant; a stimulus
    of an earlier process is dropped.
    """

    def __init__(
        self,
        plan: EnginePlan,
        runtime_dir: Path,
        *,
        private_dir: Path,
        probe: EngineProbe,
        limits: Limits,
        on_change: Callable[[EngineStatus], None],
        announce: bool,
        seal: Callable[[HandoffPayload], HandoffPayload],
        jitter: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._runtime_dir = runtime_dir
        self._private_dir = private_dir
        self._probe = probe
        limits = limits.for_container() if plan.mode is EngineMode.CONTAINER else limits
        self._limits = limits.for_model(plan.wish.model.size_bytes)
        self._on_change = on_change
        self._seal = seal
        self._jitter = jitter
        self._engine = Engine()
        self._stimuli: asyncio.Queue[tuple[Attendant | None, Stimulus]] = asyncio.Queue()
        self._stopped = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self._attending: set[asyncio.Task[None]] = set()
        self._attendant: Attendant | None = None
        self._announced = announce
        self._door = asyncio.Lock()
        names = (plan.wish.pool_id, plan.wish.replica_id, plan.wish.lane)
        self._status_file = status_path(private_dir, *names)
        self._log_file = log_path(private_dir, *names)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        plan: EnginePlan,
        runtime_dir: Path,
        *,
        probe: EngineProbe,
        on_change: Callable[[EngineStatus], None],
        private_dir: Path | None = None,
        limits: Limits | None = None,
        announce: bool = True,
        keep_on_exit: bool = False,
        seal: Callable[[HandoffPayload], HandoffPayload] = unsealed,
        jitter: Callable[[], float] = random.random,
    ) -> AsyncIterator[Self]:
        """Keep the engine up; on exit stop it and remove its handoff, unless it is to be kept.

        Without `announce` it gets ready without a handoff, until `announce` is called. `seal` has
        the last word on what each handoff says. Status and log files lie in `private_dir`, where
        only their owner looks for orphans; left out, it is the runtime folder.
        """
        self = cls(
            plan,
            runtime_dir,
            private_dir=private_dir or runtime_dir,
            probe=probe,
            limits=limits or Limits(),
            on_change=on_change,
            announce=announce,
            seal=seal,
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
                    for task in (loop, *self._attending):
                        task.cancel()
        finally:
            if self._process:
                self._process.close()

    @property
    def _process(self) -> EngineProcess | None:
        return self._attendant.process if self._attendant else None

    @property
    def _payload(self) -> HandoffPayload | None:
        return self._attendant.payload if self._attendant else None

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
            compute_pid=self._attendant.compute_pid if self._attendant else None,
            loaded_bytes=self._attendant.loaded_bytes if self._attendant else 0,
        )

    async def announce(self) -> None:
        """Write the handoff, now if it is ready, in place of any other; raises OSError."""
        self._announced = True
        async with self._door:
            if self._engine.state is EngineState.READY and self._payload:
                await asyncio.to_thread(self._write_handoff, self._payload)

    def retire(self) -> None:
        """Write no handoff any more: another engine has taken this one's place."""
        self._announced = False

    def _write_handoff(self, payload: HandoffPayload) -> None:
        write_handoff(self._runtime_dir, self._seal(payload))

    def _ask_for_start(self) -> None:
        """Look for an engine that an earlier run left, and ask for it, its end, or a new one."""
        for folder in (self._runtime_dir, self._status_file.parent, self._log_file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        earlier = find_earlier(self._plan, self._runtime_dir, self._private_dir)
        if earlier.process is None:
            self._stimuli.put_nowait((None, earlier.stimulus))
            return
        attendant = Attendant(
            earlier.process,
            self._plan,
            probe=self._probe,
            status_file=self._status_file,
            log_file=self._log_file,
            log_since_bytes=enginelog.size_bytes(self._log_file),
            payload=earlier.payload,
        )
        self._attend(attendant)
        self._stimuli.put_nowait((attendant, earlier.stimulus))

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
                    attendant, stimulus = await self._stimuli.get()
                    if attendant is None or attendant is self._attendant:
                        return stimulus
        except TimeoutError:
            return machine.DeadlinePassed()

    def _tell(self, before: Engine) -> None:
        engine = self._engine
        if engine.state is EngineState.STOPPED and not engine.wanted:
            self._stopped.set()
        loading = engine.state is EngineState.LOADING
        if loading or (engine.state, engine.last_error) != (before.state, before.last_error):
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
                        await asyncio.to_thread(self._write_handoff, self._payload)
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
        if payload is None or not of_another or not trusted_and_alive(payload):
            remove_handoff(*names)

    def _spawn(self) -> None:
        old = self._process
        if old is not None and old.identity.alive:
            self._stimuli.put_nowait(
                (None, machine.Exited(f"process {old.pid} of this replica cannot be killed"))
            )
            return
        enginelog.trim(self._log_file)
        log_since_bytes = enginelog.size_bytes(self._log_file)
        key = secrets.token_urlsafe(KEY_BYTES)
        self._attendant = None
        try:
            self._status_file.unlink(missing_ok=True)
            process = EngineProcess.spawn(
                self._plan.command(self._status_file),
                log_path=self._log_file,
                stdin=f"{key}\n".encode(),
                environment=self._plan.environment,
            )
        except OSError as error:
            self._stimuli.put_nowait((None, machine.Exited(f"the engine does not start: {error}")))
            return
        self._attend(
            Attendant(
                process,
                self._plan,
                probe=self._probe,
                status_file=self._status_file,
                log_file=self._log_file,
                log_since_bytes=log_since_bytes,
                key=key,
            )
        )

    def _attend(self, attendant: Attendant) -> None:
        self._attendant = attendant

        def tell(stimulus: Stimulus) -> None:
            self._stimuli.put_nowait((attendant, stimulus))

        name = f"attendant of {attendant.process.pid}"
        task = self._tasks.create_task(attendant.run(tell), name=name)
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)

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
