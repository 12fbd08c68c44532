"""Which functions a whole task calls in a daemon as it runs: a profile that no clock disturbs.

`python -m benchmarks.calls native` prints them as a tree.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import load, places
from benchmarks.counted import Steps, steps
from benchmarks.load import Talk
from benchmarks.loops import run
from benchmarks.places import SERVICE_TOKEN, Place
from benchmarks.relay import ENGINE_PATH
from benchmarks.scale import QUICK, Scale

_CLIENTS = 16
_TOKENS = 64
_PACED_TOKENS = (50, 350)
_PACED_CLIENTS = 4
_INTERVAL_MS = 2.0

_TALKS: dict[str, Callable[[int], Talk]] = {
    "native": load.native,
    "OpenAI": load.openai,
    "relayed": lambda tokens: load.relayed(tokens, ENGINE_PATH, SERVICE_TOKEN),
}


def calls(scale: Scale) -> dict[str, Any]:
    """Count the calls of a task in a burst and of a paced token, by package."""
    told: dict[str, Any] = {}
    for name, talk in _TALKS.items():
        with _daemon(name, interval_ms=0.0) as (daemon, into):
            told[name] = _by_package(
                counted(daemon, into, talk(_TOKENS), tasks=scale.counted_tasks, clients=_CLIENTS)
            )
        with _daemon(name, interval_ms=_INTERVAL_MS) as (daemon, into):
            few, many = (
                counted(daemon, into, talk(tokens), tasks=8, clients=_PACED_CLIENTS)
                for tokens in _PACED_TOKENS
            )
        told[f"{name}, a paced token"] = _difference(few, many)
    return told


def counted(daemon: Place, told: Path, talk: Talk, *, tasks: int, clients: int) -> Steps:
    """Count what a task takes once everything that is looked up but once has been looked up."""

    def ask() -> None:
        answers = run(load.closed_loop(daemon.port, talk, clients=clients, count=tasks))
        if bad := [answer for answer in answers if not answer.good]:
            raise RuntimeError(f"{daemon.name} answered {bad[0].status}: {bad[0].data[:500]!r}")

    ask()
    return steps(daemon, told, tasks, ask)


@contextmanager
def _daemon(kind: str, *, interval_ms: float) -> Iterator[tuple[Place, Path]]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        places.engine(interval_ms=interval_ms) as engine,
        _measured(kind, engine, Path(folder, "calls")) as daemon,
    ):
        yield daemon, Path(folder, "calls")


def _measured(kind: str, engine: Place, into: Path) -> AbstractContextManager[Place]:
    if kind == "relayed":
        return places.pool_managerd(engine, counted_into=into)
    return places.orchestratord(engine, counted_into=into)


def _by_package(found: Steps) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for function in found.functions:
        sums[function.package] += function.calls
    return {package: round(n, 1) for package, n in sorted(sums.items(), key=_most_first)}


def _difference(few: Steps, many: Steps) -> dict[str, float]:
    """What one token more takes."""
    tokens = _PACED_TOKENS[1] - _PACED_TOKENS[0]
    before, after = _by_package(few), _by_package(many)
    grown = {package: (n - before.get(package, 0)) / tokens for package, n in after.items()}
    return {
        package: round(n, 1) for package, n in sorted(grown.items(), key=_most_first) if n > 0.05
    }


def _most_first(item: tuple[str, float]) -> float:
    return -item[1]


def tree(found: Steps) -> Iterator[str]:
    """Each function with what it calls for a task, those that call most first."""
    for function in sorted(found.functions, key=lambda one: -sum(one.callees.values())):
        called = sorted(function.callees.items(), key=_most_first)
        total = sum(function.callees.values())
        yield f"{function.calls:5.1f}  {function.name}, which calls {total:.1f}"
        yield from (f"         {n:5.1f}  {name}" for name, n in called if n > 0.05)


def main() -> None:
    """Print the tree of one kind of task."""
    parser = argparse.ArgumentParser(prog="benchmarks.calls", description=__doc__)
    parser.add_argument("kind", choices=_TALKS)
    parser.add_argument("tokens", nargs="?", type=int, default=_TOKENS)
    chosen = parser.parse_args()
    talk = _TALKS[chosen.kind](chosen.tokens)
    with _daemon(chosen.kind, interval_ms=0.0) as (daemon, into):
        found = counted(daemon, into, talk, tasks=QUICK.counted_tasks, clients=_CLIENTS)
    print(f"{found.calls:.0f} calls and {found.writes:.1f} writes a task")
    print("\n".join(tree(found)))


if __name__ == "__main__":
    main()
