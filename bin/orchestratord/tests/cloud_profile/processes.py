"""Both daemons as child processes, and proof that all that they started has gone."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import demo_model

_T = TypeVar("_T")


def until(look: Callable[[], _T | None], what: str, *, within_s: float = 30.0) -> _T:
    """Look at another process until it shows something true."""
    end_s = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < end_s, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return seen


@dataclass
class Program:
    """One of our daemons, which runs in a folder of its own."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls, name: str, folder: Path, environ: Mapping[str, str], config: str = ""
    ) -> "Program":
        """Start it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(config)
        prefixes = ("ORCHD_", "LLORCH_", "POOL_MANAGERD_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
        with (folder / "log").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", name, "--config", str(folder / "config.toml")],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**kept, "LLORCH_HOME": str(folder / "data"), **environ},
                start_new_session=True,
            )
        return cls(name, folder, process)

    @property
    def log(self) -> str:
        """Everything that it has written so far."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def address(self) -> str:
        """Where it serves, as its log says."""
        return until(self._address, f"{self.name} serves")

    def _address(self) -> str | None:
        assert self.process.poll() is None, f"{self.name} ended: {self.log}"
        for line in self.log.splitlines():
            if re.search(r'"event": ?"serving"', line):
                return str(json.loads(line)["address"])
        return None

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        """End it; raises AssertionError when something was left behind."""
        try:
            self.stop()
        finally:
            left = [pid for pid in self._processes() if pid != self.process.pid]
            for pid in [*left, *([self.process.pid] if self.process.poll() is None else [])]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
        assert not left, f"{self.name} left processes {left} behind: {self.log[-2000:]}"

    def _processes(self) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{self.folder}/".encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found


def pool_of(models: Path, recital: demo_model.Recital) -> str:
    """Write the table of a pool of two slots that is named like its recital."""
    model = demo_model.ensure(models, spec=recital)
    table = {"id": recital.name, "model_ref": f"file:{model}", "slots": 2, "threads": 1}
    return "[[pools]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
