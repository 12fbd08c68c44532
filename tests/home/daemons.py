"""A daemon as a child process, with the engines that it starts, and proof that all have gone."""

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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import demo_model

READY_S = 30.0
STOPPED_S = 20.0
POLL_S = 0.01

_T = TypeVar("_T")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(look: Callable[[], _T | None], what: str, *, within_s: float = 10.0) -> _T:
    """Look at another process until it shows something true."""
    end_s = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(POLL_S)
    return seen


def get(url: str, *, key: str | None = None) -> bytes:
    """Fetch something outside of any event loop; nothing when nobody answers well."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        with _NO_PROXY.open(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            found: bytes = answer.read()
            return found
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return b""


@dataclass(frozen=True)
class Engine:
    """An engine as its handoff file tells it."""

    pid: int
    url: str
    key: str
    pool_id: str

    def slots(self) -> list[dict[str, Any]]:
        """What the engine itself says of its slots."""
        return json.loads(get(f"{self.url}/slots", key=self.key) or b"[]")

    def metrics(self) -> str:
        """What the engine itself counts."""
        return get(f"{self.url}/metrics", key=self.key).decode()

    def busy(self) -> int:
        """How many slots work."""
        return sum(slot["is_processing"] for slot in self.slots())

    def kill(self) -> None:
        """End the engine as the kernel would."""
        os.kill(self.pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Let the engine hang: its sockets stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen engine go on."""
        os.kill(self.pid, signal.SIGCONT)


@dataclass(frozen=True)
class Pool:
    """A pool that serves a recital on one thread."""

    recital: demo_model.Recital
    model: Path
    table: dict[str, object]

    @classmethod
    def of(
        cls,
        models: Path,
        recital: demo_model.Recital,
        *,
        pool_id: str | None = None,
        **more: object,
    ) -> "Pool":
        """Describe a pool of one slot, named like its recital unless told otherwise."""
        model = demo_model.ensure(models, spec=recital)
        table = {"id": pool_id or recital.name, "model_ref": f"file:{model}"}
        return cls(recital, model, {**table, "slots": 1, "threads": 1, **more})


def _toml(table: Mapping[str, object]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())


@dataclass
class Place:
    """The folders and the configuration that a daemon, and the next one after it, lives in."""

    folder: Path
    config: str
    daemons: list["Daemon"] = field(default_factory=list)

    @classmethod
    def with_pools(cls, folder: Path, *pools: "Pool", **settings: object) -> "Place":
        """Write a configuration in which each model answers to the name of its recital."""
        aliases = {pool.recital.name: pool.model.stem for pool in pools}
        plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
        tables = [_toml({"device_policy": "cpu", **plain})]
        tables += [
            f"[{name}]\n{_toml(value)}"
            for name, value in settings.items()
            if isinstance(value, dict)
        ]
        tables += [f"[[pools]]\n{_toml(pool.table)}" for pool in pools]
        tables.append(f"[model_aliases]\n{_toml(aliases)}")
        return cls(folder, "\n".join(tables))

    @property
    def runtime_dir(self) -> Path:
        """Where handoff files lie."""
        return self.folder / "run"

    def start(self, *arguments: str, ready: bool = True) -> "Daemon":
        """Start a daemon here; unless told otherwise, wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "orchestratord.toml"
        config.write_text(self.config)
        daemon = Daemon.spawn(self, "--config", str(config), *arguments)
        self.daemons.append(daemon)
        if ready:
            daemon.wait_ready()
        return daemon

    def processes(self) -> list[int]:
        """Every living process that was started for this place, whoever is its parent."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() + b"/" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def close(self) -> None:
        """Stop what runs, in order; raises AssertionError when something had to be killed."""
        codes = [daemon.stop() for daemon in self.daemons if daemon.process.poll() is None]
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"processes {left} were left behind"
        assert all(code == 0 for code in codes), f"exit codes {codes}"


@dataclass
class Daemon:
    """One orchestratord."""

    place: Place
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def spawn(cls, place: Place, *arguments: str) -> "Daemon":
        """Start the program; its output goes to files, as a pipe that nobody reads fills up."""
        log = place.folder / f"log-{len(place.daemons)}"
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ORCHD_", "LLORCH_", "POOL_MANAGERD_"))
        }
        environment |= {
            "LLORCH_HOME": str(place.folder / "data"),
            "POOL_MANAGERD_RUNTIME_DIR": str(place.runtime_dir),
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestratord", "--bind-addr", "127.0.0.1:0", *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        return cls(place, process, log)

    @property
    def pid(self) -> int:
        """The daemon's own process."""
        return self.process.pid

    @property
    def output(self) -> str:
        """Everything that it has written so far."""
        return self.log.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Where it serves, as its log says."""
        return until(self._address, "an address in the log", within_s=READY_S)

    def _address(self) -> str | None:
        assert self.process.poll() is None, f"the daemon ended: {self.output}"
        found = re.search(r'"event": ?"serving".*"address": ?"([^"]+)"', self.output)
        return f"http://{found[1]}" if found else None

    def wait_ready(self, within_s: float = READY_S) -> None:
        """Wait until every replica of every pool is ready."""
        url = self.url
        until(lambda: self._ready(url), "all replicas ready", within_s=within_s)

    def _ready(self, url: str) -> bool:
        pools = json.loads(get(f"{url}/v2/pools") or b'{"pools": []}')["pools"]
        replicas = [replica for pool in pools for replica in pool["replicas"] or [None]]
        return bool(replicas) and all(one and one["health"]["ready"] for one in replicas)

    def engine(self, pool_id: str | None = None) -> Engine:
        """The engine of a pool, or the only one."""
        (found,) = self.engines(pool_id)
        return found

    def engines(self, pool_id: str | None = None) -> list[Engine]:
        """The engines whose handoff files lie in the runtime folder, by replica."""
        handoffs = [json.loads(path.read_bytes()) for path in sorted(self._handoffs())]
        return [
            Engine(entry["pid"], entry["url"], entry["engine_key"], entry["pool_id"])
            for entry in handoffs
            if pool_id in (None, entry["pool_id"])
        ]

    def _handoffs(self) -> Iterator[Path]:
        return self.place.runtime_dir.glob("*.json")

    def rss_bytes(self) -> int:
        """Memory that the daemon holds now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def kill(self) -> None:
        """End it as the kernel would: its engines stay."""
        self.process.kill()
        self.process.wait(STOPPED_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(STOPPED_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop: {self.output[-2000:]}") from None
