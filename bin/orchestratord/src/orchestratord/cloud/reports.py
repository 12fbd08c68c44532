"""Reads heartbeats: what a node says again, to the letter, need not be read again."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from pydantic import ValidationError

from api_types import parse_json
from pool_registry_types import PoolSnapshot
from service_discovery_types import HeartbeatRequest

_SWEEP_FROM = 1_024


class _Outline(msgspec.Struct, forbid_unknown_fields=True):
    """A heartbeat of which the parts are not looked into."""

    node_id: str
    incarnation: str
    seq: int
    timestamp: int
    pools: list[msgspec.Raw] = []
    models: msgspec.Raw = msgspec.Raw()
    labels: msgspec.Raw = msgspec.Raw()


_OUTLINES = msgspec.json.Decoder(_Outline)


@dataclass(frozen=True, slots=True)
class _Last:
    """The last message of a node, and the text of its parts."""

    message: HeartbeatRequest
    incarnation: str
    about: tuple[bytes, bytes]
    """Its models and labels."""
    pools: tuple[bytes, ...]


class HeartbeatReader:
    """Returns the objects of a node's last heartbeat for the pools of which the text is the same.

    Whatever is unusual about a message is for the model to read or to refuse, so that there is one
    place where it is said what is allowed.
    """

    def __init__(self, is_known: Callable[[str], bool]) -> None:
        """`is_known` tells of which nodes another message is to be expected."""
        self._is_known = is_known
        self._last: dict[str, _Last] = {}
        self._sweep_at = _SWEEP_FROM

    def __len__(self) -> int:
        """Count the nodes of which the last message is kept."""
        return len(self._last)

    def read(self, raw: bytes) -> HeartbeatRequest:
        """Return the message. Raises ApiError."""
        try:
            outline = _OUTLINES.decode(raw)
        except msgspec.MsgspecError:
            return parse_json(HeartbeatRequest, raw)
        about = bytes(outline.models), bytes(outline.labels)
        parts = tuple(map(bytes, outline.pools))
        last = self._last.get(outline.node_id)
        message = None
        if last is not None and (last.incarnation, last.about) == (outline.incarnation, about):
            message = _as_changed(last, outline, parts)
        if message is None:
            message = parse_json(HeartbeatRequest, raw)
        if last is not None and last.pools == parts:
            parts = last.pools
        if self._is_known(message.node_id):
            self._last[message.node_id] = _Last(message, outline.incarnation, about, parts)
            self._sweep()
        return message

    def _sweep(self) -> None:
        """Forget nodes that are gone, so seldom that it costs nothing."""
        if len(self._last) >= self._sweep_at:
            self._last = {name: last for name, last in self._last.items() if self._is_known(name)}
            self._sweep_at = max(_SWEEP_FROM, 2 * len(self._last))


def _as_changed(
    last: _Last, outline: _Outline, parts: tuple[bytes, ...]
) -> HeartbeatRequest | None:
    """Return the last message with what is new in this one; None where the model must look."""
    if outline.seq < 0 or outline.timestamp < 0:
        return None
    pools = last.message.pools
    if parts != last.pools:
        read = dict(zip(last.pools, pools, strict=True))
        try:
            pools = tuple([read.get(part) or _pool(part) for part in parts])
        except ValidationError:
            return None
    update = {"seq": outline.seq, "timestamp": outline.timestamp, "pools": pools}
    return last.message.model_copy(update=update)


def _pool(raw: bytes) -> PoolSnapshot:
    return PoolSnapshot.model_validate_json(raw, strict=True)
