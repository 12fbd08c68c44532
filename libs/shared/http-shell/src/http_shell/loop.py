"""The event loop of a daemon, and how its memory is looked after."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import TypeVar

_T = TypeVar("_T")

LOOK_S = 0.1
MIDDLE_LOOK_EVERY = 5
"""Young objects are looked at by the clock, and the middle generation in each fifth look. By
Python's count there are hardly any looks where as many old tasks are forgotten as new ones come:
then one of them meets the objects of ten thousand tasks, and the loop stands still for half a
second."""
_GC_THRESHOLDS = (2_000, 10, 20_000)
"""Between two looks a wave of tasks may come, of which each makes a few hundred objects: Python's
700 looks after every other task, and finds none. A look at everything stands still for more than a
second where 100,000 tasks wait, and is made only after hours. Measured in docs/performance.md."""


def run(main: Coroutine[None, None, _T]) -> _T:
    """Run a daemon to its end, on uvloop where the platform has it."""
    # What was imported stays: it need not be looked through again and again. Nor now: of 90,000
    # objects 41 are garbage, and to find them takes a twentieth of a start.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        _Garbage(runner.get_loop()).look()
        return runner.run(main)


class _Garbage:
    """Looks for the garbage that is not freed at once: what knows itself in a circle."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._looks = 0

    def look(self) -> None:
        """Look now and from now on."""
        gc.collect(0 if self._looks % MIDDLE_LOOK_EVERY else 1)
        self._looks += 1
        self._loop.call_later(LOOK_S, self.look)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
