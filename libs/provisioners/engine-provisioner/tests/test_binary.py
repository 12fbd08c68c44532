"""Mode `binary`, with a fake executable in place of a real llama-server."""

import asyncio
import hashlib
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from engine_provisioner import (
    EngineMode,
    EngineState,
    EngineSupervisor,
    Limits,
    PreflightError,
    Survey,
    identify,
    plan_engine,
    read_handoff,
)
from engine_provisioner.testing import fake_llama_server
from pool_registry_types import HandoffModel

SURVEY = Survey(cpu_cores=2)
QUICK = Limits(hang_ms=500, stop_ms=3_000, backoff_base_ms=20, backoff_cap_ms=100)


@pytest.fixture
def binary(wish, tmp_path):
    fakes = [fake_llama_server(tmp_path, sees_gpu=sees, load_s=0.2) for sees in (False, True)]

    def make(*, gpu=False, **changes):
        return wish(**{"mode": EngineMode.BINARY, "executable": fakes[gpu], **changes})

    return make


@pytest.fixture
def supervised(probe, watch, tmp_path):
    def make(wish):
        return EngineSupervisor.running(
            plan_engine(wish, SURVEY), tmp_path, probe=probe, on_change=watch, limits=QUICK
        )

    return make


def children_of(pid: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_plan_shows_the_whole_command_and_is_the_same_for_equal_wishes(binary):
    plan = plan_engine(binary(slots=3, ctx_tokens=100), SURVEY)
    assert plan == plan_engine(binary(slots=3, ctx_tokens=100), SURVEY)
    told = str(plan)
    for part in ("fake-llama-server --model", "--parallel 3", "--ctx-size 300", "by binary"):
        assert part in told
    assert "--no-mmap" not in plan.flags
    assert plan.flags[plan.flags.index("--n-gpu-layers") + 1] == "0"


def test_on_a_gpu_all_layers_go_there_and_no_weights_stay_in_ram(binary):
    plan = plan_engine(binary(on_gpu=True, tensor_split=(3.0, 1.0), devices=("GPU-1",)), SURVEY)
    assert plan.flags[0] == "--on-gpu"
    assert "--no-mmap" in plan.flags
    assert plan.flags[plan.flags.index("--n-gpu-layers") + 1] == "99"
    assert plan.flags[plan.flags.index("--tensor-split") + 1] == "3,1"
    assert plan.environment == {"CUDA_VISIBLE_DEVICES": "GPU-1"}


def test_on_a_gpu_machine_a_server_on_the_path_that_sees_the_gpu_comes_first(wish, tmp_path):
    found = Survey(
        cpu_cores=2,
        wheel_version="2026.1",
        wheel_gpus=("NVIDIA Test",),
        llama_server=str(fake_llama_server(tmp_path)),
        llama_server_gpus=True,
    )
    assert plan_engine(wish(on_gpu=True), found).mode is EngineMode.BINARY
    assert plan_engine(wish(), found).mode is EngineMode.PACKAGE


def test_an_executable_that_is_missing_or_not_the_promised_one_is_refused(binary, tmp_path):
    with pytest.raises(PreflightError, match="name its path"):
        plan_engine(binary(executable=None), SURVEY)
    with pytest.raises(PreflightError, match="No such file"):
        plan_engine(binary(executable=tmp_path / "none"), SURVEY)
    text = tmp_path / "text"
    text.write_text("no program")
    with pytest.raises(PreflightError, match="chmod"):
        plan_engine(binary(executable=text), SURVEY)
    with pytest.raises(PreflightError, match="another build"):
        plan_engine(binary(executable_sha256="0" * 64), SURVEY)
    wish = binary()
    digest = hashlib.sha256(wish.executable.read_bytes()).hexdigest()
    plan = plan_engine(binary(executable_sha256=digest), SURVEY)
    assert plan.engine_version == f"llama-server-{digest[:12]}"


async def test_it_serves_with_a_key_that_is_on_no_command_line_and_ends_without_a_trace(
    binary, supervised, watch, tmp_path
):
    async with supervised(binary()):
        guardian = (await watch.until(EngineState.READY)).pid
        (server,) = children_of(guardian)
        payload = read_handoff(tmp_path, "demo", "r0")
        assert payload.pid == guardian
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{payload.url}/v1/models") as answer:
                assert answer.status == 401
            headers = {"Authorization": f"Bearer {payload.engine_key}"}
            async with http.get(f"{payload.url}/v1/models", headers=headers) as answer:
                argv = (await answer.json())["argv"]
        assert argv[argv.index("--host") + 1] == "127.0.0.1"
        assert payload.engine_key not in argv
    assert identify(guardian) is None
    assert identify(server) is None


@pytest.mark.parametrize("victim", ["guardian", "server"])
async def test_whichever_is_killed_both_end_and_a_new_pair_comes(binary, supervised, watch, victim):
    async with supervised(binary()):
        guardian = (await watch.until(EngineState.READY)).pid
        (server,) = children_of(guardian)
        os.kill(guardian if victim == "guardian" else server, signal.SIGKILL)
        again = await watch.until(EngineState.READY, generation=2)
        assert "SIGKILL" in again.last_error
        async with asyncio.timeout(5):
            while identify(server) or identify(guardian):
                await asyncio.sleep(0.01)


async def test_an_executable_without_a_gpu_never_serves_a_gpu_pool(binary, supervised, watch):
    async with supervised(binary(on_gpu=True)):
        failed = await watch.until(EngineState.FAILED)
        assert "sees no GPU" in failed.last_error
    async with supervised(binary(on_gpu=True, gpu=True)):
        await watch.until(EngineState.READY)


async def test_a_full_gpu_is_named_as_such(binary, supervised, watch, tmp_path):
    path = tmp_path / "big.gguf"
    path.write_bytes(b"GGUF OUT-OF-VRAM")
    model = HandoffModel(id="big", path=str(path), size_bytes=16)
    async with supervised(binary(model=model)):
        failed = await watch.until(EngineState.FAILED)
        assert "the GPU is out of memory" in failed.last_error
        assert "cudaMalloc" in failed.last_error
