"""Critical errors as the driver tells them; needs a C compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.servers
STUB = Path(__file__).with_name("nvml_stub.c")
LISTEN = """
import asyncio, sys
from gpu_discovery import CriticalErrorFound, GpuMonitor

async def main():
    found = asyncio.Event()
    async def heed(change):
        print(type(change).__name__, getattr(change, "xid", ""), flush=True)
        if isinstance(change, CriticalErrorFound):
            found.set()
    async with GpuMonitor.running(3_600_000, heed) as monitor:
        open(sys.argv[1], "w").write("0 31\\n1 79\\n")
        async with asyncio.timeout(10):
            await found.wait()
        first, second = monitor.inventory.devices
        print(first.reading.xids, second.reading.xids)

asyncio.run(main())
"""


@pytest.fixture
def library_folder(tmp_path: Path) -> Path:
    target = tmp_path / "libnvidia-ml.so.1"
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(target), str(STUB)]
    subprocess.run(command, check=True, timeout=60)
    return tmp_path


def test_a_critical_error_is_told_at_once_and_one_of_a_program_is_not(
    library_folder: Path, tmp_path: Path
) -> None:
    devices, events = tmp_path / "devices", tmp_path / "events"
    devices.write_text("A 10 0 0 30 0 0 0\nB 10 0 0 30 0 0 0\n")
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, str(events)],
        env={
            **os.environ,
            "LD_LIBRARY_PATH": str(library_folder),
            "NVML_STUB_FILE": str(devices),
            "NVML_STUB_EVENTS": str(events),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, change, counts = done.stdout.splitlines()
    assert change == "CriticalErrorFound 79"
    assert counts == "XidCount(count=0, last=0) XidCount(count=1, last=79)"
