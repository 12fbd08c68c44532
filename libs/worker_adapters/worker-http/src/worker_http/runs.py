"""A run that was begun without a task: what its end means, and what is noted where it breaks."""

from collections.abc import Callable
from typing import Protocol

from adapter_api import AdapterError, EngineFinish, EngineReset, NotBegun, OnRunEnd
from worker_http.begun import BegunStream
from worker_http.connection import Departure
from worker_http.exchange import STREAMED, Response


class Reader(Protocol):
    """Who reads the stream of a run."""

    @property
    def finish(self) -> EngineFinish | None:
        """The finish, once it was read."""
        ...

    def end(self) -> EngineFinish:
        """The finish of a stream that is over; raises `EngineReset` when it broke off."""
        ...


class BegunRun:
    """Tells the end of a run as the `run` of its adapter would.

    `refusal` makes the error of a response that is no stream; `left` is told of every departure
    after which the engine may still be at work.
    """

    __slots__ = ("_left", "_on_end", "_reader", "_refusal", "stream")

    def __init__(
        self,
        reader: Reader,
        on_end: OnRunEnd,
        *,
        refusal: Callable[[Response], AdapterError],
        left: Callable[[Departure], None],
    ) -> None:
        self.stream: BegunStream | None = None
        self._reader = reader
        self._on_end = on_end
        self._refusal = refusal
        self._left = left

    def ended(self, told: Response | Exception, departure: Departure | None) -> None:
        """Take how the stream has ended."""
        self.stream = None
        outcome = self._outcome(told)
        if outcome is told and departure is not None and not isinstance(told, NotBegun):
            self._left(departure)
        self._on_end(outcome)

    def _outcome(self, told: Response | Exception) -> EngineFinish | Exception:
        if told is STREAMED or isinstance(told, EngineReset):
            finish = self._reader.finish
            if finish is not None:
                return finish
        if not isinstance(told, Response):
            return told
        if not told.streamed:
            return self._refusal(told)
        try:
            return self._reader.end()
        except AdapterError as error:
            return error

    def cancel(self) -> None:
        """Close the connection at once."""
        stream, self.stream = self.stream, None
        if stream is not None:
            self._left(stream.cancel())
