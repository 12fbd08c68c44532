"""A node's lease, and why a message of a node is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol
from uuid import UUID

from node_types import NodeId, NodeInfo, NodeStatus
from pool_registry_types import ModelReport, PoolSnapshot
from service_discovery_types import RegisterRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How long silence is borne."""

    heartbeat_interval_ms: int = 10_000
    """What nodes are told."""
    timeout_ms: int = 30_000
    """A node that was silent on all channels for so long is offline."""
    forget_after_ms: int = 600_000
    """A node that was offline for so long is removed; not in safe mode."""
    safe_mode_min_nodes: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat_interval_ms < self.timeout_ms < self.forget_after_ms:
            raise ValueError(
                "heartbeat interval, timeout and time to forget must rise in this order"
            )


class LeaseState(StrEnum):
    """Where a node's lease stands."""

    ONLINE = "online"
    OFFLINE = "offline"
    SUSPECTED = "suspected"
    """Silent together with most others: our own network may be the cause."""


class Spoken(Protocol):
    """Who said something, and when among all that it says; every `NodeMessage` tells."""

    @property
    def node_id(self) -> NodeId:
        """The node that says it."""
        ...

    @property
    def incarnation(self) -> UUID:
        """Which start of the node."""
        ...

    @property
    def seq(self) -> int:
        """The number of the message."""
        ...


class Report(Spoken, Protocol):
    """What a heartbeat says, in whatever form it is kept; `HeartbeatRequest` is one."""

    @property
    def pools(self) -> tuple[PoolSnapshot, ...]:
        """How its pools are."""
        ...

    @property
    def models(self) -> tuple[ModelReport, ...]:
        """What lies on its disk."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """What its operator says of it."""
        ...


@dataclass(slots=True)
class LastHeard:
    """The last message of a node: the one part of a lease that changes with every one."""

    seq: int
    at_ms: int


class NodeLease(NamedTuple):
    """A node as the control plane knows it; times are by the control plane's own clock.

    What has been said once is another lease only when it changes; all leases of a node share
    what tells when it was heard.
    """

    registration: RegisterRequest
    last: LastHeard
    state: LeaseState = LeaseState.ONLINE
    lost_ms: int | None = None
    """Since when it is not online."""
    pools: tuple[PoolSnapshot, ...] = ()
    """The last report; after a restart of the node, that of the incarnation before."""
    models: tuple[ModelReport, ...] = ()
    labels: Mapping[str, str] = MappingProxyType({})
    reported: bool = False
    """This incarnation has said how its pools are."""
    drain_asked: bool = False
    reachable: bool = True
    """The last call from the control plane to the node did not fail."""
    superseded: tuple[UUID, ...] = ()

    @property
    def node_id(self) -> NodeId:
        """Its id."""
        return self.registration.node_id

    @property
    def address(self) -> str:
        """The URL under which the control plane reaches it."""
        return self.registration.address

    @property
    def incarnation(self) -> UUID:
        """What tells this start of the node from every other."""
        return self.registration.incarnation

    @property
    def seq(self) -> int:
        """The number of its last message."""
        return self.last.seq

    @property
    def heard_ms(self) -> int:
        """When that came."""
        return self.last.at_ms

    @property
    def online(self) -> bool:
        """It was heard on some channel within the timeout."""
        return self.state is LeaseState.ONLINE

    @property
    def draining(self) -> bool:
        """It was asked to drain, or says that all its pools do."""
        reported = bool(self.pools) and all(pool.draining for pool in self.pools)
        return self.drain_asked or reported

    @property
    def placeable(self) -> bool:
        """New tasks may go there."""
        return self.online and self.reported and self.reachable and not self.draining

    @property
    def status(self) -> NodeStatus:
        """The word that lists show."""
        if not self.online:
            return NodeStatus.OFFLINE
        if self.draining:
            return NodeStatus.DRAINING
        return NodeStatus.ONLINE if self.reported else NodeStatus.REGISTERING

    def info(self) -> NodeInfo:
        """Return what `GET /v2/nodes` lists."""
        known = tuple(pool.pool_id for pool in self.pools)
        return NodeInfo(
            node_id=self.node_id,
            machine_id=self.registration.machine_id,
            address=self.address,
            status=self.status,
            pools=known if self.reported else self.registration.pools,
            capabilities=self.registration.capabilities,
            version=self.registration.version,
            labels=dict(self.labels),
        )


class RefusalCode(StrEnum):
    """The wire code of a refusal."""

    NODE_UNKNOWN = "NODE_UNKNOWN"
    STALE_INCARNATION = "STALE_INCARNATION"
    NODE_ID_CONFLICT = "NODE_ID_CONFLICT"


@dataclass(frozen=True, slots=True)
class Refused:
    """A message changed nothing; `message` says why and what to do."""

    code: RefusalCode
    message: str


@dataclass(frozen=True, slots=True)
class RegistryHealth:
    """What health and metrics say of the nodes."""

    online: int
    """Draining ones and those that cannot be placed on included."""
    draining: int
    unreachable: int
    offline: int
    suspected: int
    safe_mode: bool
