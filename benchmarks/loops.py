"""The event loop of what is not measured: the faster one where it is installed."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

_T = TypeVar("_T")


def run(main: Coroutine[None, None, _T]) -> _T:
    """Run `main`, on uvloop where the `bench` group is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
