"""What this machine offers for running engines."""

import asyncio
import json
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass

WHEEL_TIMEOUT_S = 30.0
_ASK_WHEEL = """
import importlib.metadata, json, xllamacpp
print(json.dumps({
    "version": importlib.metadata.version("xllamacpp"),
    "gpus": [d["name"] for d in xllamacpp.get_device_info() if "GPU" in str(d["type"])],
}))
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """The facts that a plan is made from."""

    cpu_cores: int
    wheel_version: str | None = None
    wheel_trouble: str | None = None
    wheel_gpus: tuple[str, ...] = ()
    """The GPUs that the xllamacpp wheel itself can use, which a CPU-only wheel has none of."""
    llama_server: str | None = None
    container_runtime: str | None = None
    nvcc: str | None = None


async def survey_machine() -> Survey:
    """Look at this machine; the wheel is asked in a child process, as it may take the GPU."""
    told, trouble = await _ask_wheel()
    return Survey(
        cpu_cores=len(os.sched_getaffinity(0)),
        wheel_version=told.get("version"),
        wheel_trouble=trouble,
        wheel_gpus=tuple(told.get("gpus", ())),
        llama_server=shutil.which("llama-server"),
        container_runtime=shutil.which("podman") or shutil.which("docker"),
        nvcc=shutil.which("nvcc"),
    )


async def _ask_wheel() -> tuple[dict[str, str], str | None]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _ASK_WHEEL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WHEEL_TIMEOUT_S):
            out, err = await child.communicate()
    except TimeoutError:
        return {}, f"it did not answer within {WHEEL_TIMEOUT_S:.0f} s"
    finally:
        with suppress(ProcessLookupError):
            if child.returncode is None:
                child.kill()
    if child.returncode:
        lines = err.decode(errors="replace").strip().splitlines()
        return {}, lines[-1] if lines else f"exit code {child.returncode}"
    return json.loads(out), None
