"""What this machine offers for running engines."""

import asyncio
import json
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

ASK_TIMEOUT_S = 30.0
GPU_KINDS = ("CUDA", "Vulkan", "ROCm", "HIP", "SYCL")
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
    llama_server_gpus: bool = False
    """Whether the one on the PATH was built for a GPU and sees it."""
    podman: str | None = None
    docker: str | None = None
    uv: str | None = None
    nvcc: str | None = None


async def survey_machine() -> Survey:
    """Look at this machine; the wheel is asked in a child process, as it may take the GPU."""
    llama_server = shutil.which("llama-server")
    (told, trouble), sees_gpu = await asyncio.gather(
        _ask_wheel(sys.executable), _sees_gpu(llama_server) if llama_server else _no()
    )
    return Survey(
        cpu_cores=len(os.sched_getaffinity(0)),
        wheel_version=told.get("version"),
        wheel_trouble=trouble,
        wheel_gpus=tuple(told.get("gpus", ())),
        llama_server=llama_server,
        llama_server_gpus=sees_gpu,
        podman=shutil.which("podman"),
        docker=shutil.which("docker"),
        uv=shutil.which("uv"),
        nvcc=shutil.which("nvcc"),
    )


async def survey_wheel(survey: Survey, python: Path) -> Survey:
    """Return the facts with those of the wheel in another environment in the place of ours."""
    told, trouble = await _ask_wheel(str(python))
    return replace(
        survey,
        wheel_version=told.get("version"),
        wheel_trouble=trouble,
        wheel_gpus=tuple(told.get("gpus", ())),
    )


async def _no() -> bool:
    return False


async def _sees_gpu(llama_server: str) -> bool:
    code, out, err = await _output(llama_server, "--list-devices")
    return code == 0 and any(kind in out + err for kind in GPU_KINDS)


async def _ask_wheel(python: str) -> tuple[dict[str, str], str | None]:
    code, out, err = await _output(python, "-c", _ASK_WHEEL)
    if code is None:
        return {}, f"it did not answer within {ASK_TIMEOUT_S:.0f} s"
    if code:
        lines = err.strip().splitlines()
        return {}, lines[-1] if lines else f"exit code {code}"
    return json.loads(out), None


async def _output(*command: str) -> tuple[int | None, str, str]:
    """Run a program; the exit code (None: it took too long) and what it wrote."""
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            out, err = await child.communicate()
    except TimeoutError:
        return None, "", ""
    finally:
        with suppress(ProcessLookupError):
            if child.returncode is None:
                child.kill()
    return child.returncode, out.decode(errors="replace"), err.decode(errors="replace")
