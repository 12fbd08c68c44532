"""engine-provisionerd and pool-managerd as child processes on one runtime folder."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

TOKEN = "service-token-of-thirty-two-chars"
SERVICE, MANAGER = "engine_provisionerd", "pool_managerd"
_OURS = ("ORCHD_", "LLORCH_", "POOL_MANAGERD_", "ENGINE_PROVISIONER_")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_T = TypeVar("_T")


def until(look: Callable[[], _T | None], what: str, *, within_s: float = 60.0) -> _T:
    """Look at other processes until they show something true."""
    end_s = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.01)
    return seen


def pool_table(model: Path, **more: object) -> str:
    """The table of a pool of the service."""
    table = {"id": "main", "model_ref": f"file:{model}", "slots": 1, "threads": 1, "ctx": 1024}
    table |= more
    provisioning = table.pop("provisioning", {"owner": "service"})
    inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in provisioning.items())
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
    return f"[[pools]]\n{lines}provisioning = {{ {inline} }}\n"


class Program:
    """One of the two, started as often as a test wants to."""

    def __init__(self, machine: "Machine", module: str) -> None:
        self._machine = machine
        self._module = module
        self._starts = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Program":
        """Start it; what it says goes to a file."""
        self._starts += 1
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [*self._machine.command(self._module), "--bind-addr", "127.0.0.1:0"],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._machine.environ,
                start_new_session=True,
            )
        return self

    @property
    def _log(self) -> Path:
        return self._machine.folder / f"{self._module}-{self._starts}.log"

    @property
    def output(self) -> str:
        """What it has said since its last start."""
        return self._log.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Where it serves, as its log says."""
        return f"http://{until(self._address, f'{self._module} serves')}"

    def _address(self) -> str | None:
        assert self.process is not None
        assert self.process.poll() is None, f"{self._module} has ended: {self.output}"
        for line in self.output.splitlines():
            if re.search(r'"event": ?"serving"', line):
                found = re.search(r'"address": ?"([^"]+)"', line)
                return found and found[1]
        return None

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Call a route with the service token."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with _NO_PROXY.open(request, timeout=5) as answer:
                raw, status = answer.read(), answer.status
        except urllib.error.HTTPError as error:
            with error:
                raw, status = error.read(), error.code
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw.decode()

    def kill(self) -> None:
        """End it as the kernel would: what it has started lives on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        self.process.terminate()
        return self.process.wait(30)


class Machine:
    """A folder that stands for a GPU machine without a GPU."""

    def __init__(self, folder: Path, pools: str) -> None:
        self.folder = folder
        folder.mkdir()
        self.config = folder / "pools.toml"
        self.config.write_text(f'device_policy = "cpu"\n{pools}')
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        self.environ = inherited | {
            "LLORCH_HOME": str(folder / "data"),
            "LLORCH_API_TOKEN": TOKEN,
            "LLORCH_INSECURE_PLAINTEXT": "true",
            "LLORCH_LOG_FORMAT": "json",
            "POOL_MANAGERD_NODE_ID": "node-a",
            "ENGINE_PROVISIONER_CACHE_DIR": str(folder / "cache"),
        }
        self.service = Program(self, SERVICE)
        self.manager = Program(self, MANAGER)

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command line of one of the programs."""
        return [sys.executable, "-m", module, *arguments, "--config", str(self.config)]

    @property
    def runtime_dir(self) -> Path:
        """Where handoff files and wishes lie."""
        return self.folder / "data" / "engines"

    def handoff(self) -> dict[str, Any] | None:
        """The handoff of the pool's engine, if there is one."""
        try:
            told: dict[str, Any] = json.loads((self.runtime_dir / "main-r0.json").read_bytes())
        except FileNotFoundError:
            return None
        return told

    def until_ready(self, model_id: str | None = None) -> dict[str, Any]:
        """Wait until pool-managerd shows the pool ready, with a model; its snapshot."""

        def look() -> dict[str, Any] | None:
            pool: dict[str, Any] = self.manager.call("GET", "/v2/pools/main/status")[1]
            fits = model_id is None or pool["model_id"] == model_id
            return pool if pool["ready"] and pool["slots_free"] and fits else None

        return until(look, f"pool main is ready with {model_id}")

    def complete(self, count_tokens: int) -> str:
        """Have the engine say something, through pool-managerd's relay."""
        body = {"prompt": "1", "n_predict": count_tokens, "temperature": 0}
        request = urllib.request.Request(
            f"{self.manager.url}/v2/pools/main/replicas/r0/engine/completion",
            json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {TOKEN}",
                "Content-Type": "application/json",
                "X-Llorch-Task": f"task-{time.monotonic_ns()}/1",
            },
        )
        with _NO_PROXY.open(request, timeout=30) as answer:
            text: str = json.loads(answer.read())["content"]
            return text

    def close(self) -> None:
        """Stop what runs; raises AssertionError when something was left behind."""
        for program in (self.manager, self.service):
            if program.process is not None and program.process.poll() is None:
                program.stop()
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"processes {left} were left behind"

    def processes(self) -> list[int]:
        """Every living process that was started for this machine, whoever is its parent."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{self.folder}/".encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found
