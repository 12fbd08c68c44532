"""A cluster that all tests share, and clusters of a test's own."""

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
    """Three nodes, of which one was there before the control plane and two come later."""
    folder = tmp_path_factory.mktemp("cloud") / "cluster"
    slow, endless = Pool.of(models, SLOW, slots=2, ctx=8192), Pool.of(models, ENDLESS, ctx=4096)
    with Cluster.at(folder, wires, model_aliases=aliases) as cluster:
        cluster.node("node-a", slow, endless, POOL_MANAGERD_LABELS="zone=east").start()
        cluster.control.start()
        for name in ("node-b", "node-c"):
            cluster.node(name, slow, POOL_MANAGERD_LABELS="zone=west").start()
        yield cluster


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
