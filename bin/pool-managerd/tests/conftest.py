"""Nodes that end with their tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import demo_model

from .daemons import Node, pool_table


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models lie that all nodes share."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def node(tmp_path: Path, models: Path) -> Iterator[Callable[..., Node]]:
    """Make nodes that live as long as a test, each with a pool for each recital."""
    with ExitStack() as stack:

        def make(*recitals: demo_model.Recital, **more: object) -> Node:
            folder = tmp_path / f"node-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            pools = "\n".join(pool_table(models, recital, **more) for recital in recitals)
            made = Node(folder, pools)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node without a pool, for what needs no engine."""
    node = Node(tmp_path_factory.mktemp("bare"))
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Node]:
    """A node with a fast engine of two slots and a slow one of one."""
    folder = tmp_path_factory.mktemp("endless")
    pools = pool_table(models, demo_model.ENDLESS, slots=2) + pool_table(models, demo_model.SLOW)
    node = Node(folder, pools)
    try:
        yield node.start()
    finally:
        node.close()
