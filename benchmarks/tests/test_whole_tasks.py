"""How many steps a whole task takes in a daemon as it runs: the same on a busy machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import load, places
from benchmarks.counted import Steps, steps
from benchmarks.load import Talk
from benchmarks.loops import run
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


def ask(daemon: Place, talk: Talk) -> None:
    answers = run(load.closed_loop(daemon.port, talk, clients=CLIENTS, count=TASKS))
    assert all(answer.good and answer.tokens == TOKENS for answer in answers)


def counted(daemon: Place, told: Path, talk: Talk) -> Steps:
    ask(daemon, talk)  # What is looked up once is looked up now.
    return steps(daemon, told, TASKS, lambda: ask(daemon, talk))


def test_a_task_in_one_request_takes_few_calls_and_writes(daemon: Place, told: Path) -> None:
    found = counted(daemon, told, load.native(TOKENS))
    assert found.calls <= 1_120
    assert found.writes <= 4


def test_a_task_under_v1_takes_few_calls_and_writes(daemon: Place, told: Path) -> None:
    found = counted(daemon, told, load.openai(TOKENS))
    assert found.calls <= 1_290
    assert found.writes <= 3


def test_a_relayed_request_takes_few_calls_and_writes(tmp_path: Path) -> None:
    told = tmp_path / "calls"
    with places.engine() as engine, places.pool_managerd(engine, counted_into=told) as node:
        found = counted(node, told, load.relayed(TOKENS, ENGINE_PATH, SERVICE_TOKEN))
    assert found.calls <= 260
    # To the engine and to the client.
    assert found.writes <= 2.1
