"""Machines that end with their tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .machines import Machine


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models lie that all machines share."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """Make machines that live as long as a test."""
    with ExitStack() as stack:

        def make(pools: str) -> Machine:
            made = Machine(tmp_path / "machine", pools)
            stack.callback(made.close)
            return made

        yield make
