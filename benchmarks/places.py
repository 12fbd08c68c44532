"""The processes that are measured: each in a folder of its own."""

import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine import CTX_TOKENS, MODEL, SLOTS
from engine_provisioner import write_handoff
from pool_registry_types import HandoffModel, HandoffPayload

START_S = 180.0
STOP_S = 20.0
_POLL_S = 0.01
_NOT_INHERITED = ("ORCHD_", "LLORCH_", "POOL_MANAGERD_", "PYTHONDONTWRITEBYTECODE")
"""Settings are the scenario's alone. And an installation keeps its bytecode: where none may be
written, half of a start goes into compiling."""
SERVICE_TOKEN = "the-service-token-of-the-benchmarks"
CLIENT_KEY = "the-client-key-of-the-benchmarks"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something serves, and which process it is."""

    name: str
    port: int
    pid: int
    log: Path
    ready_s: float = 0.0
    """From its start to its first readiness."""
    runtime_dir: Path = Path()
    """Where a daemon's handoff files lie."""

    @property
    def url(self) -> str:
        """Its base URL in plain text."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def process(name: str, *command: str, **environment: str) -> Iterator[tuple[int, Path]]:
    """Run a program with its output in a file; yields its pid and that file."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)
    }
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, f"{name}.log")
        with log.open("wb") as out:
            running = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env={**inherited, **environment}
            )
        try:
            yield running.pid, log
        finally:
            running.terminate()
            try:
                running.wait(STOP_S)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@contextmanager
def printing_its_port(name: str, *command: str) -> Iterator[Place]:
    """Run a program of ours whose first line is its port."""
    with process(name, sys.executable, "-m", *command) as (pid, log):
        port = int(until(lambda: _first_line(log), log, f"{name} has told its port"))
        yield Place(name, port, pid, log)


def engine(*, interval_ms: float = 0.0) -> AbstractContextManager[Place]:
    """Run the mock engine."""
    return printing_its_port("engine", "benchmarks.engine", "--interval-ms", str(interval_ms))


def pipe(engine_port: int) -> AbstractContextManager[Place]:
    """Run the proxy that only copies bytes."""
    return printing_its_port("pipe", "benchmarks.pipe", str(engine_port))


@contextmanager
def orchestratord(
    behind: Place | None,
    *,
    slots: int = SLOTS,
    tables: str = "",
    watched_into: Path | None = None,
    counted_into: Path | None = None,
    **settings: str,
) -> Iterator[Place]:
    """Run the daemon, with an engine that is already there as its only pool, or with `tables`."""
    command = ["orchestratord"]
    if watched_into is not None:
        command.insert(0, "benchmarks.watched")
        settings["BENCH_STALLS"] = str(watched_into)
    if counted_into is not None:
        command.insert(0, "benchmarks.counted")
        settings["BENCH_CALLS"] = str(counted_into)
    with _daemon(command, behind, slots, tables, settings) as place:
        if behind is not None or tables or "ORCHD_POOL_MANAGERS" in settings:
            until(lambda: _answers(f"{place.url}/ready"), place.log, "it is ready")
        yield place


@contextmanager
def pool_managerd(
    behind: Place, *, slots: int = SLOTS, counted_into: Path | None = None, **settings: str
) -> Iterator[Place]:
    """Run a node with an engine that is already there as its only pool."""
    command = ["pool_managerd"]
    cloud = {"LLORCH_PROFILE": "cloud", "LLORCH_API_TOKEN": SERVICE_TOKEN, **settings}
    if "POOL_MANAGERD_TLS_CERT" not in cloud:
        cloud["LLORCH_INSECURE_PLAINTEXT"] = "true"
    if counted_into is not None:
        command.insert(0, "benchmarks.counted")
        cloud["BENCH_CALLS"] = str(counted_into)
    with _daemon(command, behind, slots, "", cloud) as place:
        until(lambda: _says(place.log, "pool_ready"), place.log, "its pool is ready")
        yield place


@contextmanager
def control_plane(
    node: Place | None = None, *, counted_into: Path | None = None
) -> Iterator[Place]:
    """Run orchestratord as in a cluster, with one node or none."""
    settings = {
        "LLORCH_PROFILE": "cloud",
        "LLORCH_INSECURE_PLAINTEXT": "true",
        "LLORCH_API_TOKEN": SERVICE_TOKEN,
        "ORCHD_API_KEYS": f"bench:{CLIENT_KEY}",
        "ORCHD_ADMISSION_CAPACITY": "100000",
    }
    if node is not None:
        settings["ORCHD_POOL_MANAGERS"] = node.url
    with orchestratord(None, counted_into=counted_into, **settings) as place:
        yield place


@contextmanager
def _daemon(
    command: list[str], behind: Place | None, slots: int, tables: str, settings: Mapping[str, str]
) -> Iterator[Place]:
    name = command[-1]
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as home:
        folder = Path(home)
        config = folder / f"{name}.toml"
        config.write_text(_config(behind) + tables)
        runtime = folder / "run"
        runtime.mkdir()
        if behind is not None:
            write_handoff(runtime, _handoff(behind, slots))
        began_s = time.monotonic()
        with process(
            name,
            *(sys.executable, "-m", *command, "--config", str(config)),
            *("--bind-addr", "127.0.0.1:0"),
            LLORCH_HOME=str(folder / "data"),
            POOL_MANAGERD_RUNTIME_DIR=str(runtime),
            LLORCH_LOG_FORMAT="json",
            **settings,
        ) as (pid, log):
            port = int(until(lambda: _served_port(log), log, f"{name} serves"))
            yield Place(name, port, pid, log, time.monotonic() - began_s, runtime)


def _config(behind: Place | None) -> str:
    head = 'device_policy = "cpu"\n'
    if behind is None:
        return head
    return (
        f'{head}[[pools]]\nid = "bench"\nmodel_ref = "{MODEL}"\n'
        'provisioning = {mode = "external"}\n'
    )


def _handoff(behind: Place, slots: int) -> HandoffPayload:
    return HandoffPayload(
        pool_id="bench",
        replica_id="0",
        engine="llamacpp",
        engine_version="mock",
        url=f"http://127.0.0.1:{behind.port}",
        slots=slots,
        pid=behind.pid,
        ctx_max=CTX_TOKENS,
        model=HandoffModel(id=MODEL, path=f"/models/{MODEL}.gguf", size_bytes=1),
        created_ms=0,
    )


def _says(log: Path, event: str) -> str | None:
    return event if re.search(rf'"event": ?"{event}"', log.read_text()) else None


def _served_port(log: Path) -> str | None:
    found = re.search(r'"event": ?"serving".*"address": ?"[^"]+:(\d+)"', log.read_text())
    return found[1] if found else None


def _first_line(log: Path) -> str | None:
    line, newline, _ = log.read_text().partition("\n")
    return line if newline else None


def free_port() -> int:
    """A port for a program that cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def listening(
    name: str,
    path: str,
    port: int,
    *command: str,
    tls: ssl.SSLContext | None = None,
    **environment: str,
) -> Iterator[Place]:
    """Run a program on a port that was chosen for it, and wait until a path answers."""
    began_s = time.monotonic()
    scheme = "http" if tls is None else "https"
    with process(name, *command, **environment) as (pid, log):
        url = f"{scheme}://127.0.0.1:{port}{path}"
        until(lambda: _answers(url, tls), log, f"{name} answers")
        yield Place(name, port, pid, log, time.monotonic() - began_s)


def _answers(url: str, tls: ssl.SSLContext | None = None) -> str | None:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
    )
    try:
        with opener.open(url, timeout=2) as answer:
            return "yes" if answer.status == 200 else None
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def until(look: Callable[[], str | None], log: Path, what: str) -> str:
    """Wait until a program shows something; raises with the end of its log if it does not."""
    end_s = time.monotonic() + START_S
    while not (seen := look()):
        if not log.exists() or "Traceback" in log.read_text(errors="replace"):
            raise RuntimeError(f"it failed before {what}\n{log.read_text()[-2000:]}")
        if time.monotonic() > end_s:
            raise TimeoutError(f"not within {START_S} s: {what}\n{log.read_text()[-2000:]}")
        time.sleep(_POLL_S)
    return seen
