"""pool-managerd as a child process, and proof that all that it started has gone."""

import contextlib
import json
import os
import re
import signal
import ssl
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

TOKEN = "service-token-of-thirty-two-chars"
_T = TypeVar("_T")


def until(look: Callable[[], _T | None], what: str, *, within_s: float = 20.0) -> _T:
    """Look at another process until it shows something true."""
    end_s = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.01)
    return seen


def pool_table(models: Path, recital: demo_model.Recital, **more: object) -> str:
    """The table of a pool that is named like its recital."""
    model = demo_model.ensure(models, spec=recital)
    table = {"id": recital.name, "model_ref": f"file:{model}", "slots": 1, "threads": 1, **more}
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
    return f"[[pools]]\n{lines}"


@dataclass
class Node:
    """One pool-managerd in a folder of its own, in which the next one finds its engines."""

    folder: Path
    pools: str = ""
    scheme: str = "http"
    context: ssl.SSLContext | None = None
    process: subprocess.Popen[bytes] | None = None
    _starts: int = 0
    environ: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, ready: bool = True) -> "Node":
        """Start the daemon; unless told otherwise, wait until every pool is ready."""
        self._starts += 1
        config = self.folder / "pools.toml"
        config.write_text(f'device_policy = "cpu"\n{self.pools}')
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ORCHD_", "LLORCH_", "POOL_MANAGERD_"))
        }
        environ |= {
            "LLORCH_HOME": str(self.folder / "data"),
            "LLORCH_API_TOKEN": TOKEN,
            "LLORCH_INSECURE_PLAINTEXT": "true",
            "POOL_MANAGERD_NODE_ID": "node-a",
            **self.environ,
        }
        command = [sys.executable, "-m", "pool_managerd", "--config", str(config)]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--bind-addr", "127.0.0.1:0", *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environ,
                start_new_session=True,
            )
        if ready:
            until(self._is_ready, "all pools ready")
        return self

    @property
    def log(self) -> Path:
        return self.folder / f"log-{self._starts}"

    @property
    def url(self) -> str:
        """Where it serves, as its log says."""
        return f"{self.scheme}://{until(self._address, 'an address in the log')}"

    def engine_url(self, pool_id: str) -> str:
        """The base URL of an engine behind the relay."""
        return f"{self.url}/v2/pools/{pool_id}/replicas/r0/engine"

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Call a route; with the service token unless headers are given."""
        sent = {"Authorization": f"Bearer {TOKEN}"} if headers is None else dict(headers)
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        handlers: list[Any] = [urllib.request.ProxyHandler({})]
        if self.context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self.context))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=5) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def status(self, pool_id: str) -> Any:
        """The status of a pool."""
        return self.call("GET", f"/v2/pools/{pool_id}/status")[1]

    def handoff(self, pool_id: str) -> Any:
        """The handoff file of a pool's engine."""
        return json.loads((self.folder / f"data/engines/{pool_id}-r0.json").read_bytes())

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, within_s: float = 20.0) -> int:
        """Return the exit code."""
        assert self.process is not None
        return self.process.wait(within_s)

    def rss_bytes(self) -> int:
        """Memory that the daemon holds now."""
        assert self.process is not None
        found = re.search(
            r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text()
        )
        assert found
        return int(found[1]) * 1024

    def close(self) -> None:
        """Stop what runs; raises AssertionError when something was left behind."""
        if self.process is not None and self.process.poll() is None:
            self.tell(signal.SIGTERM)
            self.tell(signal.SIGTERM)
            self.wait()
        left = list(self._processes())
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"processes {left} were left behind: {self.log.read_text()[-2000:]}"

    def _processes(self) -> Iterator[int]:
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() + b"/" in (entry / "cmdline").read_bytes():
                    yield int(entry.name)

    def _address(self) -> str | None:
        assert self.process is not None
        text = self.log.read_text(errors="replace")
        assert self.process.poll() is None, f"the daemon ended: {text}"
        found = re.search(r'"event": ?"serving".*"address": ?"([^"]+)"', text)
        found = found or re.search(r'"address": ?"([^"]+)".*"event": ?"serving"', text)
        return found[1] if found else None

    def _is_ready(self) -> bool:
        return all(pool["ready"] for pool in self.call("GET", "/v2/pools")[1]["pools"])


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode()
