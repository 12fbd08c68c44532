"""Events that differ in one text only: most of a stream's, and read without decoding each.

An engine writes the JSON of one token like that of the next, but for the text in it. Once one was
decoded, what stands around its text is known, and of others with the same around theirs only the
texts are decoded: those of a whole read in one call.
"""

import re
from typing import Final

import msgspec

_TEXT: Final = re.compile(rb'"content": ?("(?:[^"\\]|\\.)*")')
_TRIES: Final = 4
"""So many events are learned from in vain: then this engine's differ in more."""
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_texts: Final = msgspec.json.Decoder(list[str]).decode


class AlikeEvents:
    """What the events of one stream have in common, as far as it was learned."""

    __slots__ = ("_after", "_before", "_tries")

    def __init__(self) -> None:
        self._before = b""
        """Up to the quote that begins the text; nothing where none was learned."""
        self._after = b""
        """From the quote that ends it."""
        self._tries = 0

    def learn(self, event: bytes, text: str) -> None:
        """Take an event that was decoded, and has this text and nothing else that matters."""
        if self._tries == _TRIES:
            return
        self._tries += 1
        found = list(_TEXT.finditer(event))
        if len(found) == 1 and _decode_text(found[0][1]) == text:
            begin, end = found[0].span(1)
            self._before, self._after = event[: begin + 1], event[end - 1 :]

    def text_of(self, event: bytes) -> str:
        """The text of an event that is like those learned from; of any other nothing."""
        before, after = self._before, self._after
        if not before or not event.startswith(before) or not event.endswith(after):
            return ""
        try:
            text = _decode_text(event[len(before) - 1 : len(event) - len(after) + 1])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        self._tries = 0
        return text

    def texts_of(self, events: list[bytes]) -> list[str] | None:
        """The texts of the alike events at the beginning, as far as only others follow them.

        None where there are none, or others among them.
        """
        before, after = self._before[:-1], self._after[1:]
        if not before:
            return None
        count = len(events)
        while count and not events[count - 1].endswith(after):
            count -= 1
        begin, end = len(before), -len(after)
        texts = b",".join(
            [
                event[begin:end]
                for event in events[:count]
                if event[:begin] == before and event[end:] == after
            ]
        )
        if b'\\","' in texts:  # A quote that ends no text.
            return None
        try:
            found = _decode_texts(b"[%b]" % texts)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if not found or len(found) != count:
            return None
        self._tries = 0
        return found
