"""A run that goes on without anybody who awaits it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from adapter_api import EngineFinish, OnRunEnd


class BegunRun:
    """Runs a coroutine and tells its end, unless it is cancelled before."""

    def __init__(self, run: Coroutine[Any, Any, EngineFinish], on_end: OnRunEnd) -> None:
        self._on_end: OnRunEnd | None = on_end
        self._task = asyncio.get_running_loop().create_task(run)
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Cancel it and tell nobody."""
        self._on_end = None
        self._task.cancel()

    def _ended(self, task: asyncio.Task[EngineFinish]) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is None or task.cancelled():
            return
        error = task.exception()
        if error is None:
            on_end(task.result())
        elif isinstance(error, Exception):
            on_end(error)
