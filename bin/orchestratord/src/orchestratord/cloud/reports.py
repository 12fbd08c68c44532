"""Hears heartbeats: what a node says again, to the letter, need not be read again."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import UUID

import msgspec

from api_types import parse_json
from orchestratord.cloud.senders import accepted, wrong_sender
from pool_registry_types import ModelReport, PoolSnapshot
from service_discovery_types import HeartbeatRequest, HeartbeatResponse
from service_registry import NodeLease, ServiceRegistry

_SWEEP_FROM = 1_024
_NOTHING = msgspec.Raw()


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    """A heartbeat of which the parts are not looked into."""

    node_id: str
    incarnation: str
    seq: int
    timestamp: int
    pools: list[msgspec.Raw] = []
    models: msgspec.Raw = _NOTHING
    labels: msgspec.Raw = _NOTHING


_TEXTS = msgspec.json.Decoder(_Text)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says; fulfils `service_registry.Report`."""

    node_id: str
    incarnation: UUID
    seq: int
    pools: tuple[PoolSnapshot, ...]
    models: tuple[ModelReport, ...]
    labels: Mapping[str, str]
    text: _Text | None = None
    """How it said so, where that was nothing unusual."""
    after: NodeLease | None = None
    """The lease that came of the message before, where this one says the same but for pools."""

    @classmethod
    def of(cls, message: HeartbeatRequest, text: _Text | None = None) -> "Heartbeat":
        """Return what a message says, once it has been read as any other is."""
        return cls(
            node_id=message.node_id,
            incarnation=message.incarnation,
            seq=message.seq,
            pools=message.pools,
            models=message.models,
            labels=message.labels,
            text=text,
        )


class _Taken(NamedTuple):
    """The last heartbeat of a node, how it was said, and the lease that came of it."""

    message: Heartbeat
    text: _Text
    lease: NodeLease


class Heartbeats:
    """Takes heartbeats as they come: one that says nothing new only renews its node's lease."""

    def __init__(self, registry: ServiceRegistry) -> None:
        self._registry = registry
        self._heard = registry.heard
        self._reader = HeartbeatReader(lambda node_id: registry.get(node_id) is not None)

    def hear(self, node_id: str, raw: bytes) -> HeartbeatResponse:
        """Take what came to the path of a node. Raises ApiError."""
        message = self._reader.read(raw)
        if message.node_id != node_id:
            raise wrong_sender(node_id, message.node_id)
        before = message.after
        if before is not None:
            lease = self._registry.heartbeat_after(before, message.seq, message.pools)
            if lease is not None:
                if lease is not before:
                    self._reader.took(message, lease)
                return self._heard
        answer = accepted(self._registry.heartbeat(message))
        lease = self._registry.get(node_id)
        assert lease is not None
        self._reader.took(message, lease)
        return answer


class HeartbeatReader:
    """Returns the objects of a node's last heartbeat for the pools of which the text is the same.

    Whatever is unusual about a message is for the model to read or to refuse, so that there is one
    place where it is said what is allowed.
    """

    def __init__(self, is_known: Callable[[str], bool]) -> None:
        """`is_known` tells of which nodes another message is to be expected."""
        self._is_known = is_known
        self._taken: dict[str, _Taken] = {}
        self._sweep_at = _SWEEP_FROM

    def __len__(self) -> int:
        """Count the nodes of which the last message is kept."""
        return len(self._taken)

    def read(self, raw: bytes) -> Heartbeat:
        """Return the message. Raises ApiError."""
        try:
            text = _TEXTS.decode(raw)
        except msgspec.MsgspecError:
            return Heartbeat.of(parse_json(HeartbeatRequest, raw))
        last = self._taken.get(text.node_id)
        message = None if last is None else _as_changed(last, text)
        if message is None:
            message = Heartbeat.of(parse_json(HeartbeatRequest, raw), text)
        return message

    def took(self, message: Heartbeat, lease: NodeLease) -> None:
        """Note that a message was accepted, and which lease came of it."""
        if message.text is not None:
            self._taken[message.node_id] = _Taken(message, message.text, lease)
            if len(self._taken) >= self._sweep_at:
                self._sweep()

    def _sweep(self) -> None:
        """Forget nodes that are gone, so seldom that it costs nothing."""
        self._taken = {name: last for name, last in self._taken.items() if self._is_known(name)}
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._taken))


def _as_changed(last: _Taken, text: _Text) -> Heartbeat | None:
    """Return the last message with what is new in this one; None where the model must look."""
    before, said = last.text, last.message
    if (
        text.seq < 0
        or text.timestamp < 0
        or text.incarnation != before.incarnation
        or text.models != before.models
        or text.labels != before.labels
    ):
        return None
    same = text.pools == before.pools
    pools = said.pools if same else _changed_pools(said.pools, before.pools, text.pools)
    if pools is None:
        return None
    return Heartbeat(
        node_id=said.node_id,
        incarnation=said.incarnation,
        seq=text.seq,
        pools=pools,
        models=said.models,
        labels=said.labels,
        text=text,
        after=last.lease,
    )


def _changed_pools(
    pools: tuple[PoolSnapshot, ...], before: list[msgspec.Raw], now: list[msgspec.Raw]
) -> tuple[PoolSnapshot, ...] | None:
    """Return pools as they are now; those of which the text stands where it stood are kept."""
    try:
        return tuple(
            [
                pool if text == said else PoolSnapshot.model_validate_json(bytes(text), strict=True)
                for pool, said, text in zip(pools, before, now, strict=True)
            ]
        )
    except ValueError:  # Of another number, or not as the model wants them.
        return None
