"""Engines that are installed apart, and processes of theirs that end with a block."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .borrowed import get, until

READY_S = 900.0
"""An engine that imports torch takes 20 s alone on two cores, and minutes beside others."""
STOPPED_S = 20.0
# Above, the kernel gives ports to connections: such a port may be taken before the engine has it.
_PORTS = range(20_000, 32_000)
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def named(variable: str, what: str) -> str:
    """The program that a variable names; a suite that was asked for fails without, never skips."""
    program = os.environ.get(variable, "")
    if not program:
        pytest.fail(f"{variable} names no {what}; docs/engines.md says how to install one")
    if shutil.which(program) is None:
        pytest.fail(f"{variable}={program} is no program that can be started")
    return program


def free_port() -> int:
    """A port of the loopback that nobody had a moment ago."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError), socket.socket() as trial:
            trial.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


@dataclass(frozen=True)
class EngineProcess:
    """An engine in a session of its own, where none of its workers can hide."""

    process: subprocess.Popen[bytes]
    url: str
    key: str
    log: Path

    @property
    def pid(self) -> int:
        """The process that serves HTTP."""
        return self.process.pid

    @property
    def output(self) -> str:
        """What it has said."""
        return self.log.read_text(errors="replace")

    def fetch(self, path: str) -> bytes:
        """A GET with the key; nothing when nobody answers well."""
        found: bytes = get(f"{self.url}{path}", key=self.key)
        return found

    def group(self) -> dict[int, str]:
        """Every process of its session that lives, and what it was started as."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.pid and state != "Z":
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry.name)] = words.decode(errors="replace").strip()
        return found

    def tell(self, number: signal.Signals) -> None:
        """Signal the process that serves HTTP, and no other."""
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill the whole group, and wait until it has gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(STOPPED_S)
        until(lambda: not self.group(), "an ended group", within_s=STOPPED_S)


@contextmanager
def serving(
    command: Sequence[str],
    *,
    port: int,
    folder: Path,
    key: str = "",
    environ: Mapping[str, str] | None = None,
    ready: Callable[[EngineProcess], bool] | None = None,
) -> Iterator[EngineProcess]:
    """Start an engine, wait until its `/health` answers 200 (or `ready`), and end its group."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "engine.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    engine = EngineProcess(process, f"http://127.0.0.1:{port}", key, log)

    def look() -> bool:
        assert process.poll() is None, f"the engine has ended: {engine.output[-4000:]}"
        return ready(engine) if ready else _is_healthy(engine)

    try:
        until(look, f"a ready engine; it said {log}", within_s=READY_S)
        yield engine
    finally:
        engine.end()


def _is_healthy(engine: EngineProcess) -> bool:
    try:
        with _NO_PROXY.open(f"{engine.url}/health", timeout=5) as answer:
            return bool(answer.status == 200)  # vLLM's has no body
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
