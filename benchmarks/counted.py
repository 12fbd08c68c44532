"""orchestratord as it is, with the calls of functions counted that it makes: Python's and C's.

    BENCH_CALLS=FILE python -m benchmarks.counted orchestratord ARGUMENTS…

Counting begins with the first SIGUSR2 and ends with the second; either is confirmed in the file.
"""

import cProfile
import json
import os
import re
import runpy
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

from benchmarks.kernel import writes
from benchmarks.places import Place, until

_COUNTING = "counting"
_OFTEN = 0.8
_IN_C = "C"
_ROOTS = re.compile(r".*/(?:src|site-packages)/")
_LIBRARY = re.compile(r".*/python3\.\d+/|<frozen |<string>")
"""Where functions of the standard library come from, those of dataclasses among them."""


@dataclass(frozen=True, slots=True)
class Function:
    """One that is called for each task."""

    name: str
    """`package/module.py:line:name`, or what the interpreter calls one of C's."""
    calls: float
    """For one task."""
    callees: Mapping[str, float]
    """What it calls, and how often for one task."""

    @property
    def package(self) -> str:
        """The package it belongs to: ours, another's or C."""
        package, inside, _ = self.name.partition("/")
        return package if inside and not package.startswith("<") else _IN_C


@dataclass(frozen=True, slots=True)
class Steps:
    """What a process does for one task, measured by no clock."""

    functions: tuple[Function, ...]
    """What is called more seldom than tasks come goes by the time they take, and is left out."""
    writes: float
    """System calls that write, to sockets and to the log."""

    @property
    def calls(self) -> float:
        """Of functions, Python's and C's, for one task."""
        return sum(function.calls for function in self.functions)


def steps(place: Place, told: Path, tasks: int, work: Callable[[], object]) -> Steps:
    """Count what a daemon does that counts into `told`, while `work` asks for so many tasks."""
    told.unlink(missing_ok=True)  # What was counted before says nothing of now.
    os.kill(place.pid, signal.SIGUSR2)
    until(lambda: told.exists() and told.read_text(), place.log, "it counts")
    written = writes(place.pid)
    work()
    written = writes(place.pid) - written
    os.kill(place.pid, signal.SIGUSR2)
    calls = until(lambda: told.read_text().replace(_COUNTING, ""), place.log, "it has counted")
    often = (entry for entry in json.loads(calls) if entry[1] > _OFTEN * tasks)
    functions = tuple(
        Function(name, called / tasks, {callee: n / tasks for callee, n in callees.items()})
        for name, called, callees in often
    )
    return Steps(functions, written / tasks)


def _told(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    path = _LIBRARY.sub("stdlib/", _ROOTS.sub("", code.co_filename))
    return f"{path}:{code.co_firstlineno}:{code.co_qualname}"


class _Counter:
    def __init__(self, told: Path) -> None:
        self._told = told
        self._profile: cProfile.Profile | None = None
        signal.signal(signal.SIGUSR2, self._turn)

    def _turn(self, _number: int, _frame: FrameType | None) -> None:
        if self._profile is None:
            self._tell(_COUNTING)
            self._profile = cProfile.Profile()
            self._profile.enable()
        else:
            self._profile.disable()
            found = [
                (
                    _told(entry.code),
                    entry.callcount,
                    {_told(callee.code): callee.callcount for callee in entry.calls or ()},
                )
                for entry in self._profile.getstats()
            ]
            self._tell(json.dumps(found))
            self._profile = None

    def _tell(self, text: str) -> None:
        draft = self._told.with_suffix(".draft")
        draft.write_text(text)
        draft.rename(self._told)


def main() -> None:
    """Run the program that the arguments name."""
    _Counter(Path(os.environ["BENCH_CALLS"]))
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
