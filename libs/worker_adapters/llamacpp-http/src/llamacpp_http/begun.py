"""A run that was begun without a task: what its end means, and what is noted where it breaks."""

from collections.abc import Callable, Sequence

from adapter_api import (
    AdapterError,
    EngineFinish,
    EngineProtocolError,
    EngineRequest,
    EngineReset,
    NotBegun,
    OnRunEnd,
)
from llamacpp_http.refusals import error_of_response
from llamacpp_http.stream import StreamReader
from worker_http import STREAMED, BegunStream, Departure, Response

_NoteLeft = Callable[[EngineRequest, int, bool, Sequence[Departure]], None]


def finish_of(response: Response, reader: StreamReader) -> EngineFinish:
    """What a whole response comes to; raises `AdapterError` where that is no finish."""
    if response.streamed:
        return reader.end()
    if response.status == 200:
        raise EngineProtocolError("the engine answered with something other than a stream")
    raise error_of_response(response)


class BegunRun:
    """Tells the end of a run as `LlamaCppAdapter.run` would."""

    __slots__ = ("_mark", "_note_left", "_on_end", "_reader", "_request", "stream")

    def __init__(
        self,
        request: EngineRequest,
        mark: int,
        reader: StreamReader,
        on_end: OnRunEnd,
        note_left: _NoteLeft,
    ) -> None:
        self.stream: BegunStream | None = None
        self._request = request
        self._mark = mark
        self._reader = reader
        self._on_end = on_end
        self._note_left = note_left

    def ended(self, told: Response | Exception, departure: Departure | None) -> None:
        """Take how the stream has ended."""
        self.stream = None
        reader = self._reader
        if told is STREAMED and reader.finish is not None:  # As good as always.
            outcome: EngineFinish | Exception = reader.finish
        elif isinstance(told, Response):
            try:
                outcome = finish_of(told, reader)
            except AdapterError as error:
                outcome = error
        elif isinstance(told, EngineReset) and reader.finish is not None:
            outcome = reader.finish
        else:
            outcome = told
            if departure is not None and not isinstance(told, NotBegun):
                self._note(departure)
        self._on_end(outcome)

    def cancel(self) -> None:
        """Close the connection at once."""
        stream, self.stream = self.stream, None
        if stream is not None:
            self._note(stream.cancel())

    def _note(self, departure: Departure) -> None:
        self._note_left(self._request, self._mark, self._reader.in_slot, (departure,))
