"""Where a chunked body ends: told exactly, and without a step of Python's for each chunk.

Pure. A body may hold anything, also what looks like an end; and a connection may carry its next
request only if nothing is left of the last answer.
"""

from collections.abc import Callable
from typing import Final

import httptools

LAST_CHUNK = b"0\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The parser wants one before a body. The engine's own is read elsewhere."""


BadChunks: Final = (httptools.HttpParserError, httptools.HttpParserUpgrade)
"""Raised where a body breaks its own framing, or something follows it that is no answer."""


class ChunkedBodies:
    """Follows the chunked bodies that come through one connection, one after the other."""

    __slots__ = ("feed", "seen")

    def __init__(self) -> None:
        self.seen = Messages()
        self.feed: Callable[[bytes], None] = httptools.HttpResponseParser(self.seen).feed_data
        """Takes the next bytes, once for each token; raises BadChunks."""

    def begin(self) -> None:
        """Follow the next body, as the last one has ended."""
        self.seen.begun = self.seen.ended = 0
        self.feed(_HEAD)


class Messages:
    """What the parser has met; it does not know of the parser, so that no circle is left."""

    __slots__ = ("begun", "ended")

    def __init__(self) -> None:
        self.begun = 0
        """More than one where another answer has followed the body."""
        self.ended = 0

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self.begun += 1

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.ended += 1
