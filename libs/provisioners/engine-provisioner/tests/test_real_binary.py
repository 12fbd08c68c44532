"""Mode `binary` with a real llama-server: `LLORCH_TEST_LLAMA_SERVER=PATH pytest -m engines`."""

import os
from pathlib import Path

import aiohttp
import pytest

import demo_model
from engine_provisioner import (
    EngineMode,
    EngineState,
    EngineSupervisor,
    Limits,
    Survey,
    identify,
    plan_engine,
    read_handoff,
)

TOKENS = 24


@pytest.fixture
def executable() -> Path:
    named = os.environ.get("LLORCH_TEST_LLAMA_SERVER")
    if named is None:
        pytest.fail("LLORCH_TEST_LLAMA_SERVER names no llama-server")
    return Path(named)


@pytest.mark.engines
async def test_a_real_llama_server_serves_with_our_flags_and_recites_its_model(
    executable, wish, probe, watch, tmp_path
):
    plan = plan_engine(wish(mode=EngineMode.BINARY, executable=executable), Survey(cpu_cores=2))
    async with EngineSupervisor.running(
        plan, tmp_path, probe=probe, on_change=watch, limits=Limits()
    ):
        status = await watch.until(EngineState.READY)
        payload = read_handoff(tmp_path, "demo", "r0")
        body = {"prompt": "Say it.", "n_predict": TOKENS, "temperature": 0}
        headers = {"Authorization": f"Bearer {payload.engine_key}"}
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{payload.url}/completion", json=body) as refused:
                assert refused.status == 401
            async with http.post(f"{payload.url}/completion", json=body, headers=headers) as answer:
                told = await answer.json()
            async with http.get(f"{payload.url}/slots", headers=headers) as answer:
                slots = await answer.json()
        assert told["content"] == demo_model.DEMO.expected_text(TOKENS)
        assert [slot["n_ctx"] for slot in slots] == [512, 512]
    assert identify(status.pid) is None


@pytest.mark.engines
async def test_a_real_llama_server_that_cannot_load_says_why(
    executable, wish, probe, watch, tmp_path, model_file
):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model_file.read_bytes()[:-500_000])
    model = wish().model.model_copy(update={"path": str(broken)})
    plan = plan_engine(
        wish(mode=EngineMode.BINARY, executable=executable, model=model), Survey(cpu_cores=2)
    )
    async with EngineSupervisor.running(
        plan, tmp_path, probe=probe, on_change=watch, limits=Limits()
    ):
        failed = await watch.until(EngineState.FAILED)
        assert "not within the file bounds" in failed.last_error
