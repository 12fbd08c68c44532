"""What changed; each carries the lease after the change."""

from dataclasses import dataclass
from typing import TypeAlias

from node_types import NodeId
from service_registry.types import NodeLease


@dataclass(frozen=True, slots=True)
class NodeOnline:
    """A node is heard that was not, or a new incarnation of it; its report is yet to come."""

    node: NodeLease
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class NodeReported:
    """A node has said how it is; told with each report, also where nothing is new."""

    node: NodeLease


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """What we know of a node ourselves has changed: a drain was asked for, or calls fail."""

    node: NodeLease


@dataclass(frozen=True, slots=True)
class NodeOffline:
    """A node was not heard for too long. `node.state` says whether it is only suspected."""

    node: NodeLease


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """A node has left, or was offline for so long that it is forgotten."""

    node: NodeLease


@dataclass(frozen=True, slots=True)
class SafeModeEntered:
    """Most nodes are silent at once: nothing is evicted or forgotten until they are heard."""

    suspected: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class SafeModeLeft:
    """Most nodes are heard again; `lost` are those that are not."""

    lost: tuple[NodeId, ...]


RegistryEvent: TypeAlias = (
    NodeOnline
    | NodeReported
    | NodeChanged
    | NodeOffline
    | NodeRemoved
    | SafeModeEntered
    | SafeModeLeft
)
