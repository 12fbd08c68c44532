"""Daemons as child processes, each in a folder that stands for its machine."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .of_home import until

START_S = 60.0
STOP_S = 20.0
_OURS = ("ORCHD_", "LLORCH_", "POOL_MANAGERD_")


class Program:
    """One of our programs, started as often as a test wants to, always in the same folder."""

    def __init__(
        self, folder: Path, module: str, environ: Mapping[str, str], prefix: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.environ = dict(environ)
        self._command = [*prefix, sys.executable, "-m", module]
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def spawn(self, *arguments: str) -> None:
        """Start it; what it says goes to a file, as a pipe that nobody reads fills up."""
        assert not self.running, "it runs already"
        self._starts += 1
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                [*self._command, *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**inherited, "LLORCH_LOG_FORMAT": "json", **self.environ},
                start_new_session=True,
            )

    @property
    def _log(self) -> Path:
        return self.folder / f"log-{self._starts}"

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process of the last start."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said since its last start."""
        return self._log.read_text(errors="replace")

    @property
    def address(self) -> str:
        """Where it listens."""
        return until(self._address, f"{self.folder.name} listens", within_s=START_S)

    def _address(self) -> str | None:
        assert self.running, f"{self.folder.name} has ended: {self.output}"
        for line in self.output.splitlines():
            if re.search(r'"event": ?"serving"', line):
                found = re.search(r'"address": ?"([^"]+)"', line)
                return found and found[1]
        return None

    def kill(self) -> None:
        """End it as the kernel would: what it has started lives on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_S)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return the exit code."""
        assert self._process is not None
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"did not stop: {self.output[-2000:]}") from None

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.tell(signal.SIGTERM)
        return self.wait()


def processes_of(folder: Path) -> list[int]:
    """Every living process that was started for a folder, whoever is its parent."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{folder}/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found
