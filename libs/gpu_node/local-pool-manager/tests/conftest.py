from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

import demo_model
from catalog_core import ModelEntry
from engine_provisioner import Limits
from gpu_discovery import DevicePolicy
from local_pool_manager import LocalPoolManager, PoolConfig
from local_pool_manager.testing import NO_GPU, FixedModels, entry_of

QUICK = Limits(hang_ms=200, stop_ms=2_500, backoff_base_ms=20, backoff_cap_ms=100)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return entry_of(demo_model.ensure(tmp_path_factory.mktemp("model")), "recital")


@pytest.fixture
def pools(model: ModelEntry, tmp_path: Path):
    @asynccontextmanager
    async def running(*configs: PoolConfig, **more):
        async with LocalPoolManager.running(
            configs,
            runtime_dir=more.pop("runtime_dir", tmp_path),
            models=more.pop("models", FixedModels({"recital": model})),
            gpus=more.pop("gpus", lambda: NO_GPU),
            device_policy=more.pop("device_policy", DevicePolicy.CPU),
            limits=more.pop("limits", QUICK),
            **more,
        ) as manager:
            yield manager

    return running


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
