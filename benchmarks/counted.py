"""orchestratord as it is, with the calls of functions counted that it makes: Python's and C's.

    BENCH_CALLS=FILE python -m benchmarks.counted orchestratord ARGUMENTS…

Counting begins with the first SIGUSR2 and ends with the second; either is confirmed in the file.
"""

import cProfile
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from benchmarks.kernel import writes
from benchmarks.places import Place, until

_COUNTING = "counting"
_OFTEN = 0.8


@dataclass(frozen=True, slots=True)
class Steps:
    """What a process does for one task, measured by no clock."""

    calls: float
    """Of functions; what is called more seldom than tasks come goes by the time they take."""
    writes: float
    """System calls that write, to sockets and to the log."""


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
    often = [called for called in json.loads(calls) if called > _OFTEN * tasks]
    return Steps(sum(often) / tasks, written / tasks)


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
            self._tell(json.dumps([entry.callcount for entry in self._profile.getstats()]))
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
