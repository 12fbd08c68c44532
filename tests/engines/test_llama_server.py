"""The server that our mode `source` builds from a tree of llama.cpp, in each mode that can run it.

LLORCH_TEST_LLAMA_CPP names the tree, such as `vendor/llama.cpp` of llama-cpp-python's source
distribution. The build takes minutes; it is kept where LLORCH_TEST_BUILD_CACHE names a folder.
"""

import asyncio
import hashlib
import http.server
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from adapter_api import EngineEvent, EngineRequest, Tokens
from demo_model import ENDLESS
from engine_provisioner import build, plan_build, survey_tools
from llamacpp_http import LlamaCppAdapter

from .borrowed import Api, Daemon, Place, Pool, text_of, until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(3_600)]

TREE, CACHE = "LLORCH_TEST_LLAMA_CPP", "LLORCH_TEST_BUILD_CACHE"
GREEDY = {"temperature": 0}
SLOTS, CTX = 2, 1_024
LONG = 900
"""Tokens of an answer that is cut in its middle."""

Start = Callable[..., Daemon]


@pytest.fixture(scope="module")
def tree() -> Path:
    named = os.environ.get(TREE)
    if not named:
        pytest.fail(f"{TREE} names no source tree of llama.cpp; docs/engines.md says where one is")
    return Path(named)


@pytest.fixture(scope="module")
def server(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `llama-server` that our own plan builds."""
    named = os.environ.get(CACHE)
    cache = Path(named) if named else tmp_path_factory.mktemp("builds")

    async def built() -> Path:
        jobs = len(os.sched_getaffinity(0))
        return await build(plan_build(tree, cache, tools=await survey_tools(), jobs=jobs))

    return asyncio.run(built())


@pytest.fixture(scope="module")
def sha256(server: Path) -> str:
    with server.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start HOME with a pool whose engine is provided in some way; stopped with the test."""
    places: list[Place] = []

    def started(**provisioning: object) -> Daemon:
        pool = Pool.of(tmp_path, ENDLESS, ctx=CTX, slots=SLOTS)
        place = Place.with_pools(tmp_path / "home", pool)
        # The last table of the file is the aliases'; what is inline stays with its pool.
        inline = ", ".join(f'{name} = "{value}"' for name, value in provisioning.items())
        head, sep, tail = place.config.partition("[[pools]]\n")
        place.config = f"{head}{sep}provisioning = {{ {inline} }}\n{tail}"
        places.append(place)
        daemon = place.start(ready=False)
        daemon.wait_ready(within_s=300)
        return daemon

    yield started
    for place in places:
        place.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
def site(server: Path) -> Iterator[str]:
    """Serve the built executable over HTTP."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=server.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/{server.name}"
        listening.shutdown()
        thread.join()


async def check_recital(daemon: Daemon, session: aiohttp.ClientSession) -> None:
    """Have the model say what it is known to say, through the daemon, as often as asked."""
    api = Api(daemon, session)
    many = [api.run(prompt="1", max_tokens=40, sampling=GREEDY) for _ in range(3 * SLOTS)]
    for frames in await asyncio.gather(*many):
        assert text_of(frames) == ENDLESS.expected_text(40)
        assert frames[-1].data["tokens_out"] == 40


def executable_of(daemon: Daemon) -> Path:
    """The program that serves: the child of the process that guards it."""
    guard = daemon.engine().pid
    (server,) = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
    return Path(f"/proc/{server}/exe").readlink()


async def test_home_builds_the_tree_and_serves_with_what_it_has_built(
    start: Start, tree: Path, server: Path, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    # What is there already is not built again, and the daemon's own builds lie in its folder.
    builds = tmp_path / "home" / "run" / "builds"
    builds.mkdir(parents=True)
    (builds / server.parents[1].name).symlink_to(server.parents[1])
    daemon = start(mode="source", source=str(tree))
    assert executable_of(daemon) == server
    await check_recital(daemon, session)


async def test_home_serves_with_a_binary_that_is_named(
    start: Start, server: Path, sha256: str, session: aiohttp.ClientSession
) -> None:
    daemon = start(mode="binary", path=str(server), sha256=sha256)
    assert executable_of(daemon) == server
    await check_recital(daemon, session)


async def test_home_fetches_a_binary_by_its_checksum_and_serves_with_it(
    start: Start, server: Path, site: str, sha256: str, session: aiohttp.ClientSession
) -> None:
    daemon = start(mode="binary", url=site, sha256=sha256)
    assert executable_of(daemon) != server
    await check_recital(daemon, session)


async def test_a_dead_server_comes_back_and_serves(
    start: Start, server: Path, session: aiohttp.ClientSession
) -> None:
    daemon = start(mode="binary", path=str(server))
    dead = daemon.engine()
    dead.kill()
    until(lambda: daemon.engines() and daemon.engine().pid != dead.pid, "another engine")
    daemon.wait_ready(within_s=60)
    await check_recital(daemon, session)


async def test_the_adapter_knows_it_and_a_cancel_frees_its_slot(start: Start, server: Path) -> None:
    engine = start(mode="binary", path=str(server)).engine()
    adapter = LlamaCppAdapter(engine.url, api_key=engine.key)
    said: list[str] = []
    begun = asyncio.Event()

    def listen(event: EngineEvent) -> None:
        if isinstance(event, Tokens):
            said.extend(event.pieces)
            begun.set()

    request = EngineRequest(task_id="t", prompt="1", max_tokens=LONG, sampling=GREEDY)
    try:
        described = await adapter.describe()
        assert (described.slots, described.ctx_max) == (SLOTS, CTX)
        assert (await adapter.health()).ready
        async with asyncio.TaskGroup() as group:
            running = group.create_task(adapter.run(request, listen))
            await asyncio.wait_for(begun.wait(), 60)
            running.cancel()
        assert await adapter.confirm_stopped("t", timeout_ms=1_000)
        assert engine.busy() == 0
        assert ENDLESS.expected_text(LONG).startswith("".join(said))
    finally:
        await adapter.close()
