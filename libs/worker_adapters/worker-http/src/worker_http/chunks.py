"""The JSON of a stream's events, decoded as fast as they come."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

_Chunk = TypeVar("_Chunk")


def decoded_whole(
    decoder: msgspec.json.Decoder[_Chunk], events: list[bytes]
) -> list[_Chunk] | None:
    """Decode events, a line each, in one call; None where one of them is bad, or no JSON at all."""
    try:
        chunks = decoder.decode_lines(b"\n".join(events))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return chunks if len(chunks) == len(events) else None


def decoded(decoder: msgspec.json.Decoder[_Chunk], events: list[bytes]) -> Iterable[_Chunk]:
    """Decode the events of one read: at once, or one by one so that those before a bad one count.

    Raises `msgspec.DecodeError` or `UnicodeDecodeError`, then or while it is iterated over.
    """
    if len(events) > 1:
        chunks = decoded_whole(decoder, events)
        if chunks is not None:
            return chunks
    return map(decoder.decode, events)
