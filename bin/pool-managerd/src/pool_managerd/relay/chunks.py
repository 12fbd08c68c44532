"""Where a chunked body ends: told exactly, and without a step of Python's for each chunk.

Pure. A body may hold anything, also what looks like an end; and a connection may carry its next
request only if nothing is left of the last answer.
"""

import httptools

LAST_CHUNK = b"0\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The parser wants one before a body. The engine's own is read elsewhere."""


class BadChunks(Exception):
    """The body breaks its own framing, or is followed by something."""


class ChunkedBodies:
    """Follows the chunked bodies that come through one connection, one after the other."""

    __slots__ = ("_feed", "_seen")

    def __init__(self) -> None:
        self._seen = _Messages()
        self._feed = httptools.HttpResponseParser(self._seen).feed_data

    def begin(self) -> None:
        """Follow the next body, as the last one has ended."""
        self._seen.begun = self._seen.ended = 0
        self._feed(_HEAD)

    def ends_with(self, data: bytes) -> bool:
        """Take the next bytes, and tell whether the body is whole with them; raises BadChunks."""
        seen = self._seen
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadChunks(f"the chunks of the body are malformed: {error}") from error
        if seen.begun > 1:
            raise BadChunks("another answer follows the body")
        return seen.ended == 1


class _Messages:
    """What the parser has met; it does not know of the parser, so that no circle is left."""

    __slots__ = ("begun", "ended")

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_message_complete(self) -> None:
        self.ended += 1
