"""The heads with which an engine begins its event streams: it begins most of them alike.

A head that the parser has read once is recognised from then on, and the parser is given a short
one in its place, which says the same of how the body is framed.
"""

from typing import Final

_HEAD_END: Final = b"\r\n\r\n"
_HEAD_END_BYTES: Final = len(_HEAD_END)
_OK: Final = b"HTTP/1.1 200"
SAME_FRAMING: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
LAST_CHUNK_BYTES: Final = len(LAST_CHUNK)
_MAX_HEAD_BYTES: Final = 1024
_MAX_KNOWN: Final = 64


class StreamHeads:
    """Whole heads of event streams in chunks on a connection that stays.

    Some engines write the time into theirs: of many the oldest are forgotten.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, None] = {}

    def body_of(self, read: bytes) -> bytes | None:
        """Return what follows the head in the first read of a response, where that is known."""
        end = read.find(_HEAD_END) + _HEAD_END_BYTES
        return read[end:] if read[:end] in self._known else None

    def learn(self, read: bytes) -> None:
        """Note the head of a read which the parser has found to begin an event stream in chunks."""
        end = read.find(_HEAD_END) + _HEAD_END_BYTES
        # An answer that another one announces (1xx) is not told by its head alone.
        if not read.startswith(_OK) or not _HEAD_END_BYTES <= end <= _MAX_HEAD_BYTES:
            return
        if len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[read[:end]] = None
