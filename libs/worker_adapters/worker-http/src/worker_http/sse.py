"""An incremental decoder of server-sent events: bytes in, whole events out.

WHATWG HTML, 9.2.6 "Interpreting an event stream", without the reconnection fields.
"""

from adapter_api import EngineProtocolError

SseEvent = tuple[bytes, bytes]
"""(event name, data); the name is empty for a plain message."""

_BOM = b"\xef\xbb\xbf"


class SseDecoder:
    """Feed it reads as they come, split wherever the network split them.

    An event that is cut off by the end of the stream is never given out.
    """

    __slots__ = (
        "_at_start",
        "_between_events",
        "_data",
        "_data_bytes",
        "_max_event_bytes",
        "_name",
        "_skip_lf",
        "_tail",
        "_tail_bytes",
    )

    def __init__(self, *, max_event_bytes: int = 4 * 1024 * 1024) -> None:
        self._max_event_bytes = max_event_bytes
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = b""
        self._at_start = True
        self._between_events = True
        self._skip_lf = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this read completed; `EngineProtocolError` when one grows too large."""
        whole = self.feed_whole(chunk)
        return self._events(chunk) if whole is None else [(b"", data) for data in whole]

    def feed_data(self, chunk: bytes) -> list[bytes]:
        """The data of those events alone, where their names do not matter."""
        whole = self.feed_whole(chunk)
        return [data for _, data in self._events(chunk)] if whole is None else whole

    def feed_whole(self, chunk: bytes) -> list[bytes] | None:
        """The data of the usual read, whole events of one line each.

        None for any other read, of which nothing was taken then.
        """
        if (
            not self._between_events
            or chunk[:6] != b"data: "
            or chunk[-2:] != b"\n\n"
            or b"\r" in chunk
            or chunk[self._max_event_bytes :]
        ):
            return None
        events = [chunk[6:-2]]
        if b"\n" in events[0]:
            events = events[0].split(b"\n\ndata: ")
            if [event for event in events if b"\n" in event]:
                return None
        self._at_start = False
        return events

    def _events(self, chunk: bytes) -> list[SseEvent]:
        events = self._decode(chunk)
        self._between_events = not (self._tail or self._data or self._name or self._skip_lf)
        return events

    def _decode(self, chunk: bytes) -> list[SseEvent]:
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        if b"\r" in chunk:
            # A lone CR ends its line at once, or the last event would wait for a byte more.
            self._skip_lf = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._keep_tail(chunk)
            return []
        if self._tail:
            self._tail.append(chunk)
            chunk = b"".join(self._tail)
            self._tail.clear()
            self._tail_bytes = 0
        return self._lines(chunk)

    def _lines(self, text: bytes) -> list[SseEvent]:
        events: list[SseEvent] = []
        lines = text.split(b"\n")
        rest = lines.pop()
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append((self._name, data[0] if len(data) == 1 else b"\n".join(data)))
                    data.clear()
                    self._data_bytes = 0
                self._name = b""
            elif line.startswith(b"data: "):
                self._add(line[6:])
            else:
                self._field(line)
        self._keep_tail(rest)
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._name = value

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._data_bytes += len(value) + 1
        self._check_size()

    def _keep_tail(self, chunk: bytes) -> None:
        if chunk:
            self._tail.append(chunk)
            self._tail_bytes += len(chunk)
            self._check_size()

    def _check_size(self) -> None:
        if self._data_bytes + self._tail_bytes > self._max_event_bytes:
            raise EngineProtocolError(
                f"an event of the engine's stream is larger than {self._max_event_bytes} bytes"
            )
