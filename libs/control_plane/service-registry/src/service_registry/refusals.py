"""The rules by which a message is refused: who spoke last, and who holds the lease."""

from dataclasses import dataclass
from uuid import UUID

from service_discovery_types import RegisterRequest
from service_registry.types import NodeLease, RefusalCode, Refused, Spoken


@dataclass(frozen=True, slots=True)
class Departure:
    """What is remembered of a node that is gone, so that its late messages change nothing."""

    incarnation: UUID
    seq: int
    by_own_will: bool
    """Its incarnation said goodbye and has nothing more to say."""
    superseded: tuple[UUID, ...]


def why_not_register(
    message: RegisterRequest, lease: NodeLease | None, gone: Departure | None
) -> Refused | None:
    """Return what speaks against giving this node a lease, or renewing it."""
    if _is_late(message, lease, gone):
        return _stale(message)
    if lease is None or message.incarnation == lease.incarnation:
        return None
    if lease.online and not _is_same_address(lease.address, message.address):
        return Refused(
            RefusalCode.NODE_ID_CONFLICT,
            f"node {message.node_id} is online at {lease.address}: give {message.address} "
            "another POOL_MANAGERD_NODE_ID, or stop the other one",
        )
    return None


def why_not_heard(
    message: Spoken, lease: NodeLease | None, gone: Departure | None
) -> Refused | None:
    """Return what speaks against hearing any other message of this node."""
    if _is_late(message, lease, gone):
        return _stale(message)
    if lease is None or message.incarnation != lease.incarnation:
        return Refused(
            RefusalCode.NODE_UNKNOWN,
            f"node {message.node_id} is not registered here with incarnation "
            f"{message.incarnation}: register it",
        )
    return None


def _is_late(message: Spoken, lease: NodeLease | None, gone: Departure | None) -> bool:
    """Tell whether something newer was heard. The same message twice is not late but harmless."""
    if lease is not None:
        if message.incarnation == lease.incarnation:
            return message.seq < lease.seq
        return message.incarnation in lease.superseded
    if gone is not None:
        if message.incarnation == gone.incarnation:
            return gone.by_own_will or message.seq <= gone.seq
        return message.incarnation in gone.superseded
    return False


def _is_same_address(one: str, other: str) -> bool:
    return one.rstrip("/").lower() == other.rstrip("/").lower()


def _stale(message: Spoken) -> Refused:
    return Refused(
        RefusalCode.STALE_INCARNATION,
        f"node {message.node_id} has said something newer than message {message.seq} of "
        f"incarnation {message.incarnation}",
    )
