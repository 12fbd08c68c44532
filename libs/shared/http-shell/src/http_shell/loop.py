"""The event loop of a daemon, and how its memory is looked after."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import TypeVar

_T = TypeVar("_T")

_GC_THRESHOLDS = (2_000, 10, 1_000)
"""A task makes a few hundred objects that live as long as it does: Python's 700 looks for garbage
after every other task, and finds none. Fewer looks at the middle generation save no more: they
stall the loop longer, and let the cycles of refused tasks pile up. A look at everything stands
still for more than a second where 100,000 tasks wait, and is made ten times more seldom than Python
would. Measured in docs/performance.md."""


def run(main: Coroutine[None, None, _T]) -> _T:
    """Run a daemon to its end, on uvloop where the platform has it."""
    # What was imported stays: it need not be looked through again and again. Nor now: of 90,000
    # objects 41 are garbage, and to find them takes a twentieth of a start.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
