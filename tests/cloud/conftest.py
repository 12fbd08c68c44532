"""A cluster that all tests share, and clusters of a test's own."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

from demo_model import DEMO, ENDLESS, SLOW

from .calls import CloudApi
from .cluster import CLIENT_KEY, Cluster
from .of_home import Pool
from .wires import Wires


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models lie, as a shared folder of all nodes would."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def wires() -> Iterator[Wires]:
    with Wires() as wires:
        yield wires


@pytest.fixture(scope="session")
def aliases(models: Path) -> dict[str, str]:
    """Models by the names of their recitals."""
    return {spec.name: Pool.of(models, spec).model.stem for spec in (DEMO, ENDLESS, SLOW)}


@pytest.fixture
def make_cluster(
    tmp_path: Path, wires: Wires, aliases: dict[str, str]
) -> Iterator[Callable[..., Cluster]]:
    """Lay out clusters that live as long as a test."""
    with ExitStack() as stack:

        def make(**settings: object) -> Cluster:
            return stack.enter_context(
                Cluster.at(tmp_path / "cluster", wires, model_aliases=aliases, **settings)
            )

        yield make


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, models: Path, wires: Wires, aliases: dict[str, str]
) -> Iterator[Cluster]:
    """Three nodes, one of which is there before the control plane; no two agree on the hour."""
    folder = tmp_path_factory.mktemp("cloud") / "cluster"
    slow, endless = Pool.of(models, SLOW, slots=2, ctx=8192), Pool.of(models, ENDLESS, ctx=4096)
    with Cluster.at(folder, wires, model_aliases=aliases) as cluster:
        cluster.node("node-a", slow, endless, POOL_MANAGERD_LABELS="zone=east").start()
        cluster.control.environ |= watched(folder / "opened")
        cluster.control.start()
        for name, hours in (("node-b", -1), ("node-c", 1)):
            clock = shifted_clock(folder / f"clock-{hours}", hours)
            cluster.node(name, slow, POOL_MANAGERD_LABELS="zone=west", **clock).start()
        yield cluster
        assert not files_of_nodes(cluster), "after all tests of this cluster"


def watched(folder: Path) -> dict[str, str]:
    """The environment of a Python that tells in `folder/told` every path it opens or lists."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"told = os.open({str(folder / 'told')!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
        "def hear(event, arguments):\n"
        "    if event in {'open', 'os.listdir', 'os.scandir'} and arguments:\n"
        "        if isinstance(arguments[0], (str, bytes, os.PathLike)):\n"
        "            os.write(told, os.fsencode(arguments[0]) + b'\\n')\n"
        "sys.addaudithook(hear)\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def shifted_clock(folder: Path, hours: int) -> dict[str, str]:
    """The environment of a Python whose wall clock is wrong."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import time\n"
        "seconds, nanoseconds = time.time, time.time_ns\n"
        f"time.time = lambda: seconds() + {hours * 3600}\n"
        f"time.time_ns = lambda: nanoseconds() + {hours * 3600} * 10**9\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def files_of_nodes(cluster: Cluster) -> list[str]:
    """What the control plane has opened that belongs to a node, in all its life."""
    told = (cluster.folder / "opened" / "told").read_text().splitlines()
    assert any(path.startswith(f"{cluster.control.folder}/") for path in told), "nothing was heard"
    theirs = [str(node.folder) for node in cluster.nodes.values()]
    theirs += [str(pool.model) for node in cluster.nodes.values() for pool in node.pools]
    return [path for path in told if path.startswith(tuple(theirs))]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers={"Authorization": f"Bearer {CLIENT_KEY}"}
    ) as session:
        yield session


@pytest.fixture
def connect(session: aiohttp.ClientSession) -> Callable[[Cluster], CloudApi]:
    """Make clients of control planes; their connections end with the test."""
    return lambda cluster: CloudApi(cluster.control, session)


@pytest.fixture
async def api(cluster: Cluster, connect: Callable[[Cluster], CloudApi]) -> CloudApi:
    """A client of the shared cluster, all of which is well."""
    api = connect(cluster)
    await api.all_placeable(*cluster.nodes)
    return api
