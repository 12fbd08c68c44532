"""What clients see when a real vLLM is stopped or dies under them: never a success."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapter_api import (
    AdapterError,
    EngineEvent,
    EngineFailed,
    EngineRequest,
    EngineReset,
    EngineTimeout,
    Tokens,
)
from vllm_http import VllmAdapter

from .asking import LONG_TOKENS, MODEL
from .borrowed import Api, Daemon, eventually
from .conftest import made_by
from .installed import EngineProcess
from .served import client_of, home_serving
from .vllm_server import CTX, SEQUENCES, vllm_running

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1800)]

NOTICED_S = 20.0
"""Within this a client knows; most of it is the patience of the request itself."""
IDLE_MS = 10_000


@pytest.fixture
def mortal(vllm_python: str, tmp_path: Path) -> Iterator[EngineProcess]:
    """A vLLM of the test's own."""
    with vllm_running(vllm_python, made_by(vllm_python, tmp_path / "model"), tmp_path) as engine:
        yield engine


@pytest.fixture
def daemon(mortal: EngineProcess, tmp_path: Path) -> Iterator[Daemon]:
    folder = tmp_path / "home"
    with home_serving(mortal, folder, kind="vllm", slots=SEQUENCES, ctx=CTX) as daemon:
        yield daemon


@asynccontextmanager
async def streaming(adapter: VllmAdapter) -> AsyncIterator["asyncio.Task[AdapterError]"]:
    """A stream in its middle, as the error in which it ends."""
    first = asyncio.Event()

    def sink(event: EngineEvent) -> None:
        if isinstance(event, Tokens):
            first.set()

    async def run() -> AdapterError:
        request = EngineRequest(
            task_id="t", prompt="Hello", max_tokens=LONG_TOKENS, idle_timeout_ms=IDLE_MS
        )
        try:
            finish = await adapter.run(request, sink)
        except AdapterError as error:
            return error
        raise AssertionError(f"a success: {finish}")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await first.wait()
        yield task


async def ends_of(
    engine: EngineProcess, daemon: Daemon, end: Callable[[], None]
) -> tuple[AdapterError, str, float]:
    """Have a stream of the adapter and one of the daemon, end the engine: error, code, seconds."""
    adapter = VllmAdapter(engine.url, api_key=engine.key)
    task = {"model_ref": MODEL, "prompt": "Hello", "max_tokens": LONG_TOKENS}
    async with client_of(daemon) as api, streaming(adapter) as run, api.open(**task) as stream:
        await stream.until("token")
        began_s = time.monotonic()
        end()
        frames = await stream.rest()
        error = await run
        took_s = time.monotonic() - began_s
        await not_ready(api)
    await adapter.close()
    assert frames[-1].event == "error"
    return error, frames[-1].data["code"], took_s


async def not_ready(api: Api) -> None:
    """Wait until the daemon places nothing there any more."""

    async def look() -> bool:
        (pool,) = (await api.get("/v2/pools"))["pools"]
        return not pool["ready"]

    await eventually(look, "a pool that is not ready", within_s=NOTICED_S)


async def test_a_stop_by_signal_is_no_success(mortal: EngineProcess, daemon: Daemon) -> None:
    error, code, took_s = await ends_of(mortal, daemon, lambda: mortal.tell(signal.SIGTERM))
    assert isinstance(error, EngineReset | EngineFailed | EngineTimeout)
    assert code in {"WORKER_RESET", "DECODE_TIMEOUT"}
    assert took_s < NOTICED_S


async def test_a_killed_server_resets_at_once_and_its_group_ends_with_us(
    mortal: EngineProcess, daemon: Daemon
) -> None:
    error, code, took_s = await ends_of(mortal, daemon, lambda: mortal.tell(signal.SIGKILL))
    assert isinstance(error, EngineReset)
    assert code == "WORKER_RESET"
    assert took_s < NOTICED_S / 2
    left = mortal.group().values()
    assert any("EngineCore" in name for name in left), "its worker ends by itself now: say so"
    mortal.end()
    assert not mortal.group()


async def test_a_lost_worker_fails_what_runs_and_takes_the_pool_out(
    mortal: EngineProcess, daemon: Daemon
) -> None:
    (worker,) = (pid for pid, name in mortal.group().items() if "EngineCore" in name)
    error, code, took_s = await ends_of(mortal, daemon, lambda: os.kill(worker, signal.SIGKILL))
    assert isinstance(error, EngineReset | EngineFailed)
    assert code == "WORKER_RESET"
    assert took_s < NOTICED_S
