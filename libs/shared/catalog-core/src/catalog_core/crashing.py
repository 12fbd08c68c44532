"""Ends a child between any two of its calls into the operating system that change something."""

import os
import sys
from collections.abc import Callable
from types import FrameType

_CHANGING = frozenset(
    {"open", "write", "flush", "fsync", "close", "replace", "rename", "link", "unlink", "remove"}
    | {"mkdir", "rmdir", "truncate", "flock"}
)
_KILLED, _DONE = 42, 0


def crash_at(count: int, act: Callable[[], object]) -> bool:
    """Run `act` in a child that ends at its count-th changing call; whether it ended so.

    The child counts each call twice, before and after, so that it ends between any two. Nothing
    is cleaned up: no `finally`, no buffer is written.
    """
    child = os.fork()
    if child == 0:
        left = count

        def watch(_frame: FrameType, event: str, called: object) -> None:
            nonlocal left
            if event not in {"c_call", "c_return"}:
                return
            if getattr(called, "__name__", "") in _CHANGING:
                left -= 1
                if left < 0:
                    os._exit(_KILLED)

        sys.setprofile(watch)
        try:
            act()
            os._exit(_DONE)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {_KILLED, _DONE}, f"the child failed: {code}"
    return code == _KILLED
