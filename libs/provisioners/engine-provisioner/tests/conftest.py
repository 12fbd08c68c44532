import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

import demo_model
from engine_provisioner import (
    EngineProbe,
    EngineState,
    EngineStatus,
    EngineWish,
    Survey,
    survey_machine,
)
from pool_registry_types import HandoffModel


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_model.ensure(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def survey() -> Survey:
    return asyncio.run(survey_machine())


@pytest.fixture
async def probe() -> AsyncIterator[EngineProbe]:
    async with EngineProbe.running(timeout_s=0.5) as running:
        yield running


@pytest.fixture
def wish(model_file: Path) -> Callable[..., EngineWish]:
    def make(**changes: object) -> EngineWish:
        values = {
            "pool_id": "demo",
            "replica_id": "r0",
            "model": HandoffModel(
                id="recital", path=str(model_file), size_bytes=model_file.stat().st_size
            ),
            "slots": 2,
            "ctx_tokens": 512,
            "on_gpu": False,
            "threads": 1,
        }
        return EngineWish(**{**values, **changes})

    return make


class Watch:
    """Collects what a supervisor tells, and waits for it."""

    def __init__(self) -> None:
        self.seen: list[EngineStatus] = []
        self._changed = asyncio.Event()

    def __call__(self, status: EngineStatus) -> None:
        self.seen.append(status)
        self._changed.set()

    async def until(self, state: EngineState, *, generation: int = 1) -> EngineStatus:
        async with asyncio.timeout(20):
            while True:
                for status in self.seen:
                    if status.state is state and status.generation >= generation:
                        return status
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left(tmp_path_factory: pytest.TempPathFactory):
    """Hold, after the last test, that no engine of this run is alive."""
    yield
    ours = str(tmp_path_factory.getbasetemp()).encode()
    left = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if ours in command and b"llamacpp_host" in command:
                left.append(command.replace(b"\0", b" ").decode())
    assert not left, left
