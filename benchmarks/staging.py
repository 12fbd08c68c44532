"""What a staged model is worth: swaps of one pool between two models of 2 GB."""

import json
import os
import statistics
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import demo_model
from benchmarks import disks, places
from benchmarks.scale import Scale
from demo_model import Recital

SLOW_DISK_BYTES_PER_S = 200_000_000
"""Of a disk behind a network; the one of this machine is often much faster."""
AHEAD_RESIDENCY_MS = 15_000
"""Long enough for a slow disk to bring the next model while the present one may stay."""
_TEXT = "One~model that is~large says~little"
_WIDTH, _HIDDEN = 2048, 163_840
_PATIENCE_S = 180.0
_ROWS = (
    *("read_cold_s", "read_from_ram_s"),
    *("engine_start_cold_s", "engine_start_staged_s", "swap_cold_s", "swap_staged_s"),
)
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def staging(scale: Scale) -> dict[str, Any]:
    """Cold and staged in turns: on the disk as it is, and where permitted on a slow one."""
    with TemporaryDirectory(prefix="bench-staging-", dir=Path.cwd()) as folder:
        paths = [_model(Path(folder), name) for name in ("left", "right")]
        told: dict[str, Any] = {"model_bytes": paths[0].stat().st_size}
        told["this disk"] = _measured(scale.staging_rounds, paths, None)
        if disks.can_throttle():
            slow = _measured(scale.staging_rounds, paths, SLOW_DISK_BYTES_PER_S)
            slow["engine_start_staged_ahead_s"] = _summary(_ahead(paths, SLOW_DISK_BYTES_PER_S))
            told["a disk limited to 200 MB/s"] = slow
        return told


def _model(folder: Path, name: str) -> Path:
    """Weights of 16 bits: no quantisation that a CPU takes long to unpack or to lay out anew."""
    path = folder / f"{name}.gguf"
    spec = Recital(name, _TEXT, embedding_length=_WIDTH, feed_forward_length=_HIDDEN)
    demo_model.build(path, spec=spec, in_f16=True)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path


@dataclass
class _Machine:
    """A daemon with one pool that has one model at a time."""

    place: places.Place

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and read the answer."""
        data = None if body is None else json.dumps(body).encode()
        with _NO_PROXY.open(self._request(method, path, data), timeout=_PATIENCE_S) as answer:
            return json.loads(answer.read() or b"null")

    def pull(self, path: Path) -> None:
        """Have a file in the catalog."""
        self.call("POST", "/v2/catalog/models", {"reference": f"file:{path}"})
        self._until(lambda: path.stem in self._pool()["loadable_models"])

    def first_token_s(self, path: Path) -> tuple[float, float]:
        """Ask a model for one token: when it comes, in all and after its engine was started."""
        model = path.stem
        body = {"model_ref": model, "prompt": "1", "max_tokens": 1}
        request = self._request("POST", "/v2/tasks", json.dumps(body).encode())
        request.add_header("Accept", "text/event-stream")
        began_s = time.perf_counter()
        took_s = since_s = 0.0
        with _NO_PROXY.open(request, timeout=_PATIENCE_S) as answer:
            for line in answer:
                if line == b"event: token\n" and not took_s:
                    took_s = time.perf_counter() - began_s
                    since_s = time.time()
        if not took_s:
            raise RuntimeError(f"{model} said nothing: {self.place.log.read_text()[-2000:]}")
        return took_s, since_s - self.load_began_s(path)

    def stage(self, model: str) -> str:
        """Bring a model into RAM; how it is kept there."""
        self.call("POST", f"/v2/model-cache/{model}")

        def staged() -> str | None:
            models = self.call("GET", "/v2/model-cache")["models"]
            return next((one["method"] for one in models if one["state"] == "staged"), None)

        return str(self._until(staged))

    def hits(self) -> int:
        """How many engines have found their model in RAM."""
        return int(self.call("GET", "/v2/model-cache")["hits"])

    def load_began_s(self, path: Path) -> float:
        """When the newest engine with a model was started, by the daemon's log."""
        for line in reversed(self.place.log.read_text().splitlines()):
            if "model_load_begins" in line and str(path) in line:
                return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
        raise RuntimeError(f"no engine was started with {path}")

    def _pool(self) -> Any:
        return self.call("GET", "/v2/pools/bench/status")

    def _request(self, method: str, path: str, data: bytes | None) -> urllib.request.Request:
        headers = {"Content-Type": "application/json"} if data else {}
        return urllib.request.Request(
            self.place.url + path, data=data, method=method, headers=headers
        )

    def _until(self, look: Callable[[], Any]) -> Any:
        end_s = time.monotonic() + _PATIENCE_S
        while not (seen := look()):
            if time.monotonic() > end_s:
                raise TimeoutError(self.place.log.read_text()[-2000:])
            time.sleep(0.02)
        return seen


def _tables(min_residency_ms: int) -> str:
    return (
        f'[[pools]]\nid = "bench"\nslots = 1\nctx = 256\nthreads = 2\n'
        f"swap_models = true\nmin_residency_ms = {min_residency_ms}\n"
    )


def _measured(rounds: int, paths: list[Path], limit: int | None) -> dict[str, Any]:
    rows: dict[str, list[float]] = {name: [] for name in _ROWS}

    def swap(machine: _Machine, path: Path, how: str) -> None:
        whole_s, load_s = machine.first_token_s(path)
        rows[f"swap_{how}_s"].append(whole_s)
        rows[f"engine_start_{how}_s"].append(load_s)

    _warm(paths)
    with (
        disks.throttled(paths[0], limit),
        places.orchestratord(None, tables=_tables(0)) as place,
    ):
        machine = _Machine(place)
        for path in paths:
            machine.pull(path)
        left, right = paths
        machine.first_token_s(left)
        before = machine.hits()
        for _ in range(rounds):
            disks.make_cold(right)
            rows["read_cold_s"].append(disks.read_s(right))
            rows["read_from_ram_s"].append(disks.read_s(right))
            disks.make_cold(right)
            swap(machine, right, "cold")
            disks.make_cold(left)
            method = machine.stage(left.stem)
            swap(machine, left, "staged")
        if machine.hits() - before != rounds:
            raise RuntimeError("an engine did not find its staged model")
    told: dict[str, Any] = {name: _summary(row) for name, row in rows.items()}
    size = paths[0].stat().st_size
    told["disk_mb_per_s"] = round(size / statistics.median(rows["read_cold_s"]) / 1e6)
    told["ram_mb_per_s"] = round(size / statistics.median(rows["read_from_ram_s"]) / 1e6)
    for what in ("engine_start", "swap"):
        pairs = zip(rows[f"{what}_cold_s"], rows[f"{what}_staged_s"], strict=True)
        told[f"{what}_cold_to_staged"] = round(statistics.median(a / b for a, b in pairs), 2)
    told["method"] = method
    return told


def _ahead(paths: list[Path], limit: int) -> list[float]:
    """Swaps whose next model the pool itself brings into RAM while the present one must stay."""
    took_s = []
    _warm(paths)
    with (
        disks.throttled(paths[0], limit),
        places.orchestratord(None, tables=_tables(AHEAD_RESIDENCY_MS)) as place,
    ):
        machine = _Machine(place)
        for path in paths:
            machine.pull(path)
        left, right = paths
        machine.first_token_s(left)
        for wanted in (right, left):
            disks.make_cold(wanted)
            before = machine.hits()
            took_s.append(machine.first_token_s(wanted)[1])
            if machine.hits() == before:
                raise RuntimeError(f"{wanted.stem} was not staged ahead")
    return took_s


def _warm(paths: list[Path]) -> None:
    """Have files in RAM, so that their digests need no disk."""
    for path in paths:
        disks.read_s(path)


def _summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(seconds), 2),
        "lowest": round(min(seconds), 2),
        "highest": round(max(seconds), 2),
    }
