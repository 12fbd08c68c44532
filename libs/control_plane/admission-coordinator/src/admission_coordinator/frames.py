"""The frames of a task's stream, and their native form as server-sent events.

A log keeps frames as values; a reader's dialect makes bytes of them when it reads. So a task that
was submitted in another dialect costs one encoding too, and the core knows none of the dialects.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, final

import msgspec

_encode: Final = msgspec.json.Encoder().encode
FRAME_OVERHEAD_BYTES = 160
"""What Python keeps for a frame besides its text."""
_VALUE_RATIO = 4
"""Memory of nested dicts, lists and floats over the length of their JSON; measured 3 to 5."""
_BOUNDED = frozenset({"started", "end"})
"""Frames of the coordinator's own, with the same few short fields in each task."""
_BOUNDED_BYTES = _VALUE_RATIO * 300 + FRAME_OVERHEAD_BYTES


@final
class TokenFrame(msgspec.Struct, frozen=True, gc=False):
    """The text of one read of the engine's stream; `index` is that of its first piece."""

    text: str
    index: int
    count: int

    @property
    def size_bytes(self) -> int:
        """Roughly what keeping it costs."""
        return len(self.text) + FRAME_OVERHEAD_BYTES


class EventFrame(msgspec.Struct, frozen=True):
    """Any other frame, and a token that carries extras; fields that are None stay out."""

    event: str
    data: Mapping[str, Any]
    human: str | None = None
    """What a verbose reader is told in plain words."""

    @property
    def size_bytes(self) -> int:
        """Roughly what keeping it costs: values take several times their JSON."""
        if self.event in _BOUNDED:
            return _BOUNDED_BYTES
        return _VALUE_RATIO * len(_encode(self.data)) + FRAME_OVERHEAD_BYTES


Frame = TokenFrame | EventFrame
Dialect = Callable[[int, Frame], bytes]
"""Makes the bytes of a frame, given its id; `b""` leaves it out of the stream."""


class _Names(dict[str, bytes]):
    """The few names of events, encoded once."""

    def __missing__(self, event: str) -> bytes:
        encoded = self[event] = event.encode()
        return encoded


_names: Final = _Names()


def native(frame_id: int, frame: Frame) -> bytes:
    """Encode a frame as the native API defines it."""
    if type(frame) is TokenFrame:
        text = _encode(frame.text)
        if frame.count == 1:
            return b'id: %d\nevent: token\ndata: {"t":%b,"i":%d}\n\n' % (
                frame_id,
                text,
                frame.index,
            )
        return b'id: %d\nevent: token\ndata: {"t":%b,"i":%d,"n":%d}\n\n' % (
            frame_id,
            text,
            frame.index,
            frame.count,
        )
    data = _encode(frame.data)
    if b"null" in data:
        told = {name: value for name, value in frame.data.items() if value is not None}
        data = _encode(told)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (frame_id, _names[frame.event], data)


def native_verbose(frame_id: int, frame: Frame) -> bytes:
    """Encode a frame with the words for people: more fields, the same frames."""
    if isinstance(frame, EventFrame) and frame.human is not None:
        frame = EventFrame(frame.event, {**frame.data, "human": frame.human})
    return native(frame_id, frame)
