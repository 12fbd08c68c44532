"""Places for daemons, and clients of them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

from .calls import Api
from .daemons import Daemon, Place


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models lie that all daemons share."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def shared_place(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Place]]:
    """Make places that live as long as a module."""
    with ExitStack() as stack:

        def make(*pools: str, **settings: object) -> Place:
            place = Place.with_pools(tmp_path_factory.mktemp("home"), *pools, **settings)
            stack.callback(place.close)
            return place

        yield make


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Make places that live as long as a test."""
    with ExitStack() as stack:

        def make(*pools: str, **settings: object) -> Place:
            place = Place.with_pools(tmp_path / "home", *pools, **settings)
            stack.callback(place.close)
            return place

        yield make


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Daemon], Api]]:
    """Make clients of daemons; their connections end with the test."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield lambda daemon: Api(daemon, session)
