"""The real binding on a library made for the test; needs a C compiler."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.servers
STUB = Path(__file__).with_name("nvml_stub.c")
LOOK = """
import dataclasses, json, sys
from gpu_discovery import discover
def show(value):
    return value.model_dump() if hasattr(value, "model_dump") else dataclasses.asdict(value)
inventories = []
for lines in json.load(sys.stdin):
    open(sys.argv[1], "w").write(lines)
    found = discover()
    inventories.append({
        "driver": found.driver_version,
        "devices": [{**show(d.info), **show(d.reading)} for d in found.devices],
        "faults": [show(f) for f in found.faults],
        "reason": found.reason,
    })
print(json.dumps(inventories))
"""
Look = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    target = folder / "libnvidia-ml.so.1"
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(target), str(STUB)]
    subprocess.run(command, check=True, timeout=60)
    return folder


@pytest.fixture
def look(library_folder: Path, tmp_path: Path) -> Look:
    """Discover in a process of its own: a library is loaded once per process."""

    def run(*device_files: str, init: int = 0) -> list[dict[str, Any]]:
        devices = tmp_path / "devices"
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(library_folder),
            "NVML_STUB_FILE": str(devices),
            "NVML_STUB_INIT": str(init),
        }
        done = subprocess.run(
            [sys.executable, "-c", LOOK, str(devices)],
            input=json.dumps(device_files),
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        inventories: list[dict[str, Any]] = json.loads(done.stdout)
        return inventories

    return run


def test_devices_are_read_with_all_they_tell(look: Look) -> None:
    [found] = look("NVIDIA_H200 1000 400 37 61 2 0 4242\nNVIDIA_RTX 500 0 0 30 999 0 0\n")
    assert found["driver"] == "999.01"
    assert found["devices"][0] == {
        "device_id": 0,
        "uuid": "GPU-00000000-0000-0000-0000-000000000000",
        "name": "NVIDIA H200",
        "vram_total_bytes": 1000,
        "compute_capability": "9.0",
        "total_bytes": 1000,
        "used_bytes": 400,
        "free_bytes": 600,
        "utilization_percent": 37,
        "temperature_c": 61,
        "ecc_errors": 2,
        "processes": [{"pid": 4242, "used_bytes": 400}],
        "xids": {"count": 0, "last": 0},
    }
    assert found["devices"][1]["ecc_errors"] is None
    assert found["devices"][1]["processes"] == []


def test_a_lost_device_leaves_the_others_and_comes_back(look: Look) -> None:
    healthy, lost = (
        "A 10 0 0 30 0 0 0\nB 10 0 0 30 0 0 0\n",
        "A 10 0 0 30 0 15 0\nB 10 0 0 30 0 0 0\n",
    )
    before, during, after = look(healthy, lost, healthy)
    assert [device["device_id"] for device in before["devices"]] == [0, 1]
    assert [device["device_id"] for device in during["devices"]] == [1]
    assert during["faults"] == [{"device_id": 0, "reason": "GPU is lost"}]
    assert after == before


def test_a_driver_that_is_not_loaded_is_a_reason(look: Look) -> None:
    [found] = look("A 10 0 0 30 0 0 0\n", init=9)
    assert found == {"driver": None, "devices": [], "faults": [], "reason": "driver not loaded"}


def test_a_driver_without_a_gpu_is_a_reason(look: Look) -> None:
    [found] = look("")
    assert found["reason"] == "the driver lists no GPU"


def test_a_library_that_is_none_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    done = subprocess.run(
        [sys.executable, "-c", "from gpu_discovery import discover; print(discover().reason)"],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.startswith("libnvidia-ml.so.1 not found: ")
    assert "file too short" in done.stdout or "invalid ELF header" in done.stdout
