"""A daemon with real engines, and the clients that everybody has.

This folder is no package, since its name is that of the package under test: what it shares with
other tests is loaded from their files.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import openai
import pytest

from demo_model import DEMO, RERANK, SLOW


def _load(path: str) -> ModuleType:
    name = f"openai_tests_{Path(path).stem}"
    spec = spec_from_file_location(name, Path(__file__).parents[2] / path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_daemons = _load("tests/home/daemons.py")
_tool_model = _load("libs/worker_adapters/llamacpp-http/tests/tool_model.py")
Pool = _daemons.Pool

CAPACITY = 1000


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Start a daemon with pools; it ends with the session."""
    with ExitStack() as stack:

        def make(*pools: Any, **settings: object) -> Any:
            place = _daemons.Place.with_pools(tmp_path_factory.mktemp("v1"), *pools, **settings)
            stack.callback(place.close)
            return place.start()

        yield make


@pytest.fixture(scope="session")
def pool_of() -> Callable[..., Any]:
    """Describe a pool."""
    made: Callable[..., Any] = Pool.of
    return made


@pytest.fixture(scope="session")
def tool_caller(start: Callable[..., Any], models: Path) -> Any:
    """A daemon whose only model always calls one tool, in the notation of its own template."""
    plain = _tool_model.build_tool_model(models / "without.gguf")
    model = models / "tool.gguf"
    command = [sys.executable, "-m", "gguf.scripts.gguf_new_metadata", str(plain), str(model)]
    subprocess.run([*command, "--chat-template", _tool_model.TEMPLATE], check=True)
    recital = _tool_model.ToolCaller(name="tool", text="x")
    table = {"id": "tool", "model_ref": f"file:{model}", "slots": 1, "threads": 1}
    return start(Pool(recital, model, table))


@pytest.fixture(scope="session")
def daemon(start: Callable[..., Any], models: Path) -> Any:
    """One daemon with a pool for each thing to show; each answers to the name of its recital."""
    return start(
        Pool.of(models, DEMO, slots=4, embeddings=True),
        Pool.of(models, SLOW, slots=2, ctx=8192),
        Pool.of(models, RERANK, rerank=True),
        admission_capacity=CAPACITY,
        admission_policy="reject",
    )


@pytest.fixture
def client(daemon: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(daemon: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{daemon.url}/v1", api_key="any", max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def http(daemon: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """Plain HTTP to the same daemon, without a limit of connections."""
    async with aiohttp.ClientSession(
        daemon.url, connector=aiohttp.TCPConnector(limit=0, force_close=True)
    ) as session:
        yield session


@pytest.fixture
def get(http: aiohttp.ClientSession) -> Callable[[str], Awaitable[Any]]:
    """Fetch a document of the native API."""

    async def fetch(path: str) -> Any:
        async with http.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    return fetch
