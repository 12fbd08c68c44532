"""How many steps a whole task takes in a daemon as it runs: the same on a busy machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import load, places
from benchmarks.calls import counted
from benchmarks.places import SERVICE_TOKEN, Place
from benchmarks.relay import ENGINE_PATH

TASKS = 200
CLIENTS = 16
TOKENS = 64


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("counted") / "calls"


@pytest.fixture(scope="module")
def daemon(told: Path) -> Iterator[Place]:
    with places.engine() as engine, places.orchestratord(engine, counted_into=told) as daemon:
        yield daemon


def test_a_task_in_one_request_takes_few_calls_and_writes(daemon: Place, told: Path) -> None:
    found = counted(daemon, told, load.native(TOKENS), tasks=TASKS, clients=CLIENTS)
    assert found.calls <= 440
    assert found.writes <= 4


def test_a_task_under_v1_takes_few_calls_and_writes(daemon: Place, told: Path) -> None:
    found = counted(daemon, told, load.openai(TOKENS), tasks=TASKS, clients=CLIENTS)
    assert found.calls <= 520
    assert found.writes <= 3


def test_a_relayed_request_takes_few_calls_and_writes(tmp_path: Path) -> None:
    told = tmp_path / "calls"
    with places.engine() as engine, places.pool_managerd(engine, counted_into=told) as node:
        talk = load.relayed(TOKENS, ENGINE_PATH, SERVICE_TOKEN)
        found = counted(node, told, talk, tasks=TASKS, clients=CLIENTS)
    assert found.calls <= 90
    # To the engine and to the client.
    assert found.writes <= 2.1
