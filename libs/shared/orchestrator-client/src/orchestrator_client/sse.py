"""An incremental parser of event streams (WHATWG HTML, section 9.2.6), without I/O.

A frame leaves the parser when its blank line has arrived, so that a stream that is cut at any
byte never yields half a frame.
"""

from dataclasses import dataclass

from orchestrator_client.errors import ProtocolError

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SseFrame:
    """One complete frame; `id` is its own, never one inherited from an earlier frame."""

    event: str
    data: str
    id: str | None


class SseParser:
    """Turns the bytes of one response, in pieces of any size, into frames."""

    def __init__(self, *, max_frame_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._partial_line = b""
        self._after_cr = False
        self._first_line = True
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._frame_bytes = 0

    def feed(self, chunk: bytes) -> list[SseFrame]:
        """Return the frames that `chunk` completes."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the other half of a CRLF that was split between two chunks
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        lines = (self._partial_line + chunk).splitlines(keepends=True)
        self._partial_line = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        frames = []
        for line in lines:
            frame = self._take_line(line.rstrip(b"\r\n"))
            if frame is not None:
                frames.append(frame)
        if self._frame_bytes + len(self._partial_line) > self._max_frame_bytes:
            raise ProtocolError(f"a frame is larger than {self._max_frame_bytes} bytes")
        return frames

    def _take_line(self, line: bytes) -> SseFrame | None:
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        self._frame_bytes += len(line)
        name, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        match name:
            case b"data":
                self._data.append(value)
            case b"event":
                self._event = value
            case b"id" if "\0" not in value:
                self._id = value
            case _:
                pass  # comments and unknown fields, as the standard says
        return None

    def _dispatch(self) -> SseFrame | None:
        frame = None
        if self._data:
            frame = SseFrame(self._event or "message", "\n".join(self._data), self._id)
        self._event, self._data, self._id, self._frame_bytes = "", [], None, 0
        return frame
