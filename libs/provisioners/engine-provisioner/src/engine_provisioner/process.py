"""One operating-system process: who it is, when it ends, and how it is made to end."""

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

POLL_INTERVAL_S = 0.2
_STATE, _START_TICKS = 0, 19
"""Fields 3 and 22 of /proc/PID/stat (proc(5)), counted behind the name, which may hold blanks."""


_SECRETS_BLANKED = {"LLORCH_API_TOKEN": "", "LLORCH_API_KEY": "", "ORCHD_API_KEYS": ""}
"""An engine has no use for them, and foreign code runs in it."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that cannot be confused with a later one of the same pid."""

    pid: int
    start_ticks: int
    boot_id: str
    pid_ns: str

    @property
    def alive(self) -> bool:
        """Whether it runs, here; a zombie does not."""
        return identify(self.pid) == self


def boot_id() -> str:
    """Return the id of this boot of the kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def pid_namespace() -> str:
    """Return the id of the namespace in which our pids mean something."""
    return str(Path("/proc/self/ns/pid").readlink())


def identify(pid: int, *, zombie: bool = False) -> ProcessIdentity | None:
    """Return the identity of a process, None when there is none of that pid or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[_STATE] in "ZX" and not zombie:
        return None
    return ProcessIdentity(pid, int(fields[_START_TICKS]), boot_id(), pid_namespace())


def command_line(pid: int) -> tuple[str, ...]:
    """Return the arguments of a process, empty when it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ()
    return tuple(part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0"))


def oom_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """Return how many processes the kernel of this host has killed for want of memory."""
    try:
        text = vmstat.read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def resident_pages(pid: int) -> int:
    """Return how much memory a process holds: while a model loads it grows."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


@dataclass(slots=True)
class EngineProcess:
    """A process in a session of its own, ours by birth or adopted."""

    identity: ProcessIdentity
    child: bool
    _pidfd: int | None = field(default=None)

    @property
    def pid(self) -> int:
        """The pid, which is also that of the process group."""
        return self.identity.pid

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        *,
        log_path: Path,
        environment: Mapping[str, str],
        stdin: bytes = b"",
    ) -> "EngineProcess":
        """Start a process whose output goes to a file; raises OSError.

        It inherits our environment without our secrets, with `environment` on top.
        """
        reader, writer = os.pipe()
        try:
            os.write(writer, stdin)
            os.close(writer)
            pid = os.posix_spawn(
                argv[0],
                tuple(argv),
                {**os.environ, **_SECRETS_BLANKED, **environment},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reader, 0),
                    (
                        os.POSIX_SPAWN_OPEN,
                        1,
                        str(log_path),
                        # Appending, so that the file can be cut short below a running process.
                        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
                        0o600,
                    ),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP),
            )
        finally:
            os.close(reader)
        identity = identify(pid, zombie=True)
        if identity is None:
            raise ChildProcessError(f"{argv[0]} was reaped by somebody else")
        return cls(identity, child=True, _pidfd=_open_pidfd(pid))

    @classmethod
    def attach(cls, identity: ProcessIdentity) -> "EngineProcess | None":
        """Watch a process that somebody else started; None when it does not run."""
        pidfd = _open_pidfd(identity.pid)
        if not identity.alive:
            if pidfd is not None:
                os.close(pidfd)
            return None
        return cls(identity, child=False, _pidfd=pidfd)

    async def exited(self) -> int | None:
        """Wait for the end; the exit code (negative: a signal), None for an adopted process."""
        if self._pidfd is not None:
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(self._pidfd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._pidfd)
        else:
            while self.identity.alive:  # noqa: ASYNC110  a kernel without pidfd has no event
                await asyncio.sleep(POLL_INTERVAL_S)
        code = self._reap() if self.child else None
        self.close()
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything it started, now."""
        if self.identity.alive:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop watching; the process is left as it is."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)
            elif self.identity.alive:
                os.kill(self.pid, number)

    def _reap(self) -> int:
        # While the zombie keeps its pid, the group cannot be mistaken for another one.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None
