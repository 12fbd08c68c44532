"""A daemon on four different GPUs: NVIDIA's own binding, on a library made for the test.

The engine is a stand-in that computes nothing; what is real is everything that looks at memory.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo_model import DEMO, ENDLESS, ensure
from engine_provisioner.testing import fake_llama_server

from .calls import Api, eventually
from .daemons import Daemon, Place, Pool, until

pytestmark = pytest.mark.servers
STUB = Path(__file__).parents[2] / "libs/gpu_node/gpu-discovery/tests/nvml_stub.c"
GIB = 1 << 30
MIB = 1 << 20
SIZES = (48 * GIB, 24 * GIB, 24 * GIB, 8 * GIB)
FOREIGN_PID = 4_194_000


class Machine:
    """What the driver says of the GPUs, changed while daemons look."""

    def __init__(self, folder: Path) -> None:
        self._devices, self._events = folder / "devices", folder / "events"
        self._rows = [{"total": size, "used": 0, "ecc": 0, "error": 0, "pid": 0} for size in SIZES]
        self._events.touch()
        self.change(0)

    def change(self, number: int, **values: int) -> None:
        """Let the driver say something else of a device."""
        self._rows[number] |= values
        lines = (
            f"NVIDIA_{n} {r['total']} {r['used']} 0 40 {r['ecc']} {r['error']} {r['pid']}\n"
            for n, r in enumerate(self._rows)
        )
        draft = self._devices.with_suffix(".tmp")
        draft.write_text("".join(lines))
        draft.replace(self._devices)

    def critical_error(self, number: int, xid: int) -> None:
        """Let the driver tell of an error."""
        with self._events.open("a") as file:
            file.write(f"{number} {xid}\n")

    @property
    def environ(self) -> dict[str, str]:
        return {"NVML_STUB_FILE": str(self._devices), "NVML_STUB_EVENTS": str(self._events)}


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    target = folder / "libnvidia-ml.so.1"
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(target), str(STUB)]
    subprocess.run(command, check=True, timeout=60)
    return folder


@pytest.fixture
def machine(library_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    for name, value in {**machine.environ, "LD_LIBRARY_PATH": str(library_folder)}.items():
        monkeypatch.setenv(name, value)
    return machine


@pytest.fixture
def gpu_place(place: Callable[..., Place], models: Path, tmp_path: Path) -> Callable[..., Place]:
    def make(*devices: str, **more: object) -> Place:
        engine = fake_llama_server(tmp_path, sees_gpu=True)
        pool = Pool.of(models, DEMO, pool_id="main", devices=devices, **more)
        made = place(pool, device_policy="gpu", gpu_discovery_interval_ms=100)
        table = f'[pools.provisioning]\nmode = "binary"\npath = "{engine}"\n'
        made.config = made.config.replace("[model_aliases]", f"{table}[model_aliases]")
        return made

    return make


async def health(api: Api) -> Any:
    return await api.get("/v2/pools/main/health")


async def seen(api: Api, ready: bool, word: str = "") -> Any:
    """Wait until the pool's health is so."""

    async def look() -> Any:
        told = await health(api)
        return told if told["ready"] is ready and word in (told["last_error"] or "") else None

    return await eventually(look, f"ready is {ready}, with {word!r}", within_s=30)


async def pid_of(api: Api) -> int:
    return int((await api.get("/v2/pools/main/status"))["replicas"][0]["pid"])


async def test_what_does_not_fit_is_refused_with_the_arithmetic_until_it_does(
    gpu_place: Callable[..., Place], machine: Machine, connect: Callable[[Daemon], Api]
) -> None:
    left = 513 * MIB
    machine.change(3, used=SIZES[3] - left, pid=FOREIGN_PID)
    api = connect(gpu_place("1", "3", tensor_split=[1.0, 1.0]).start(ready=False))
    told = await seen(api, False, "does not fit")
    for part in ("weights", "KV cache", "GPU 3 (NVIDIA 3) would take", "not ours", "of 8.00 GiB"):
        assert part in told["last_error"], told
    assert "GPU 1" not in told["last_error"], "the smallest device for its share decides"
    assert told["metrics"]["vram_total_bytes"] == SIZES[1] + SIZES[3]
    machine.change(3, used=0, pid=0)
    await seen(api, True)
    status = await api.get("/v2/pools/main/status")
    uuids = [f"GPU-00000000-0000-0000-0000-{number:012d}" for number in (1, 3)]
    assert status["device_mask"] == ",".join(uuids)


async def test_errors_of_a_device_take_its_pool_out_with_their_cause_and_it_comes_back(
    gpu_place: Callable[..., Place], machine: Machine, connect: Callable[[Daemon], Api]
) -> None:
    api = connect(gpu_place("2").start())
    known = await pid_of(api)
    machine.critical_error(0, 79)
    machine.critical_error(2, 31)
    machine.change(2, ecc=3)
    await seen(api, False, "GPU 2 (NVIDIA 2) counted 3 uncorrected memory errors (ECC)")
    await seen(api, True)
    after_ecc = await pid_of(api)
    assert after_ecc != known
    machine.critical_error(2, 79)
    await seen(api, False, "GPU 2 (NVIDIA 2) had a critical error (Xid 79)")
    await seen(api, True)
    assert await pid_of(api) != after_ecc
    machine.change(2, error=15)
    await seen(api, False, "GPU 2 (NVIDIA 2) is lost: GPU is lost")
    machine.change(2, error=0)
    assert (await seen(api, True))["last_error"] is None


async def test_a_measurement_is_remembered_and_a_reload_waits_for_the_memory(
    gpu_place: Callable[..., Place],
    machine: Machine,
    models: Path,
    connect: Callable[[Daemon], Api],
) -> None:
    here = gpu_place("1")
    daemon = here.start()
    api = connect(daemon)
    server = until(lambda: _server_of(daemon), "the engine's own process")
    machine.change(1, used=SIZES[1] - 600 * MIB, pid=server)
    file = here.runtime_dir / "state" / "memory.json"
    told = until(lambda: file.exists() and json.loads(file.read_text()), "a measurement")
    assert list(told.values()) == [SIZES[1] - 600 * MIB - 512 * MIB]

    machine.change(1, used=SIZES[1])
    await eventually(lambda: _is_full(api), "a full device")
    wish = {"new_model_ref": f"file:{ensure(models, spec=ENDLESS)}"}
    assert (await api.call("POST", "/v2/pools/main/reload", json=wish)).status == 202
    await eventually(lambda: _waits_for_memory(api), "a change that waits for the driver")
    machine.change(1, used=0, pid=0)
    await seen(api, True)
    assert (await api.get("/v2/pools/main/status"))["model_id"] != Pool.of(models, DEMO).model.stem


def _server_of(daemon: Daemon) -> int | None:
    guardian = daemon.engine().pid
    children = Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()
    return int(children[0]) if children else None


async def _is_full(api: Api) -> bool:
    return bool((await health(api))["metrics"]["vram_free_bytes"] == 0)


async def _waits_for_memory(api: Api) -> bool:
    change = (await api.get("/v2/pools/main/status"))["change"]
    return bool(change and change["phase"] == "releasing")
