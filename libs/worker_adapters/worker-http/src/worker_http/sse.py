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
        self._skip_lf = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this read completed; `EngineProtocolError` when one grows too large."""
        if chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") and self._between_events:
            parts = chunk[6:-2].split(b"\n\ndata: ")
            # The usual read: whole events of one line each. So many line ends, and no others.
            whole = chunk.count(b"\n") == 2 * len(parts) and b"\r" not in chunk
            if whole and len(chunk) <= self._max_event_bytes:
                self._at_start = False
                return [(b"", part) for part in parts]
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

    @property
    def _between_events(self) -> bool:
        return not (self._tail or self._data or self._name or self._skip_lf)

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
