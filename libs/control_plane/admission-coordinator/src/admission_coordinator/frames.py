"""Server-sent events as bytes. Encoding happens once per frame, whoever reads it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode


def frame(frame_id: int, event: str, data: Mapping[str, Any]) -> bytes:
    """Encode any frame; fields that are None stay out of the wire form."""
    kept = {name: value for name, value in data.items() if value is not None}
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (frame_id, event.encode(), _encode(kept))


def token_frame(frame_id: int, text: str, index: int, count: int) -> bytes:
    """Encode a token frame without extras: the one frame that is made once per read."""
    if count == 1:
        return b'id: %d\nevent: token\ndata: {"t":%b,"i":%d}\n\n' % (
            frame_id,
            _encode(text),
            index,
        )
    return b'id: %d\nevent: token\ndata: {"t":%b,"i":%d,"n":%d}\n\n' % (
        frame_id,
        _encode(text),
        index,
        count,
    )
