"""The protocol that every engine adapter fulfils."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from adapter_api.events import (
    EngineDescription,
    EngineFinish,
    EngineHealth,
    EngineRequest,
    EventSink,
)


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
