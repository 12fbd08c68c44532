"""The protocol that every engine adapter fulfils."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from adapter_api.events import (
    EngineDescription,
    EngineFinish,
    EngineHealth,
    EngineRequest,
    EventSink,
)

OnRunEnd = Callable[[EngineFinish | Exception], None]
"""Told once what `run` would have returned or raised; must not raise."""


class Run(Protocol):
    """A run that was begun and that nobody awaits."""

    def cancel(self) -> None:
        """Close its connection at once, as cancelling `run` does; its end is not told then."""
        ...


@runtime_checkable
class BeginsRuns(Protocol):
    """What an adapter may offer beside `run`: the same without a task that waits for it."""

    def begin(self, request: EngineRequest, sink: EventSink, on_end: OnRunEnd) -> Run | None:
        """Begin a request that can be sent at once; None, and nothing was done, for any other.

        `on_end` is never called before this has returned. It is told `NotBegun` where `run` would
        have gone on with another connection: the caller then has to call that.
        """
        ...


@runtime_checkable
class WorkerAdapter(Protocol):
    """One engine process, seen through its HTTP API.

    An adapter keeps no task state beyond a call; several calls may run at once, as many as the
    engine has slots. It does not retry a generating request, save one that died on a reused
    connection before any byte of the answer.
    """

    @property
    def engine(self) -> str:
        """The engine kind, for example `llamacpp`."""
        ...

    async def health(self) -> EngineHealth:
        """Probe the engine. Never raises for an engine that is down: that is an answer."""
        ...

    async def describe(self) -> EngineDescription:
        """Ask the engine what it is and what it can do; raises `AdapterError`."""
        ...

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        """Run one request to its end; events go to `sink` as they arrive.

        Raises `AdapterError`. Cancelling the awaiting task closes the connection at once, which
        is how the engine is told to stop; `confirm_stopped` then tells when it has.
        """
        ...

    async def confirm_stopped(self, task_id: str, *, timeout_ms: int = 1_000) -> bool:
        """Wait until the engine has let go of a request that was cancelled; False when too late.

        Must be called after every cancelled or broken `run`, before its slot is used again.
        """
        ...

    async def tokenize(self, text: str) -> Sequence[int]:
        """The engine's token ids of a text; raises `AdapterError`."""
        ...

    async def close(self) -> None:
        """Close idle connections. Running calls are the callers' to cancel."""
        ...
