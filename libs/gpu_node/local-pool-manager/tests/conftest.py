import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

import demo_model
from catalog_core import ModelEntry
from engine_provisioner import Limits, Survey, plan_engine
from gpu_discovery import DevicePolicy
from local_pool_manager import LocalPoolManager, PoolConfig, PoolDraining, ReplicaBusy
from local_pool_manager.bringup import wish_for
from local_pool_manager.testing import NO_GPU, FixedModels, entry_of, small_pool

TOKENS = 24
OTHER = demo_model.Recital(
    "other", "Another model answers~now. It says so as~often as~it is~asked", endless=True
)
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


@pytest.fixture(scope="session")
def models(model, tmp_path_factory):
    """Three models that say different things, and one that no engine loads."""
    folder = tmp_path_factory.mktemp("models")
    broken = folder / "broken.gguf"
    broken.write_bytes(model.path.read_bytes()[:-500_000])
    return {
        "recital": model,
        "other": entry_of(demo_model.ensure(folder, spec=OTHER), "other"),
        "slow": entry_of(demo_model.ensure(folder, spec=demo_model.SLOW), "slow"),
        "broken": model.model_copy(update={"id": "broken", "path": broken}),
    }


@pytest.fixture
def planned(model):
    """The plan of an engine."""
    wish = wish_for(small_pool(), model, ())
    return plan_engine(wish, Survey(cpu_cores=1, wheel_version="1"))


class Client:
    """Tasks as the control plane runs them: a lease, a stream, the lease given back."""

    def __init__(self, pools, http: aiohttp.ClientSession) -> None:
        self.pools = pools
        self.http = http
        self.number = 0

    async def task(self, *, max_tokens: int = TOKENS, on_token: Callable[[], None] = lambda: None):
        """Run one task; the model and its text, by the replica that has a slot."""
        self.number += 1
        name = f"task-{self.number}/1"
        while True:
            try:
                replica = self.pools.snapshot("demo").replicas[0]
                lease = self.pools.acquire("demo", "r0", name, generation=replica.generation)
                break
            except (PoolDraining, ReplicaBusy):
                await asyncio.sleep(0.005)
        at = self.pools.endpoint("demo", "r0")
        try:
            return at.model_id, await self._stream(at, max_tokens, on_token)
        finally:
            self.pools.release(lease)

    async def _stream(self, at, max_tokens, on_token) -> str:
        body = {"prompt": "Say it.", "n_predict": max_tokens, "temperature": 0, "stream": True}
        headers = {"Authorization": f"Bearer {at.engine_key}"}
        text = ""
        async with self.http.post(f"{at.url}/completion", json=body, headers=headers) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"data: "):
                    text += json.loads(line[6:])["content"]
                    on_token()
        return text


@pytest.fixture
async def client():
    # An engine closes its connections when it likes: a client that keeps them would have to retry.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        yield lambda pools: Client(pools, http)


@pytest.fixture(scope="session")
def said_by():
    """Tell what a model says."""
    specs = {"recital": demo_model.DEMO, "slow": demo_model.SLOW, "other": OTHER}
    return lambda model_id: specs[model_id].expected_text(TOKENS)


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left(tmp_path_factory: pytest.TempPathFactory):
    """Hold, after the last test, that no engine of this run is alive."""
    yield
    ours = str(tmp_path_factory.getbasetemp()).encode()
    left = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if ours in command and b"_host.py" in command:
                left.append(command.replace(b"\0", b" ").decode())
    assert not left, left
