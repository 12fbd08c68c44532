"""What a registration says of this node, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from node_types import NodeCapabilities, NodeId
from pool_registry_types import ModelReport, PoolId


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDescription:
    """This node as it is now; asked for anew with each message."""

    machine_id: str
    address: str
    """The URL under which a control plane reaches this node."""
    capabilities: NodeCapabilities
    version: str
    pools: tuple[PoolId, ...] = ()
    models: tuple[ModelReport, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationSettings:
    """Where to register and how patiently."""

    node_id: NodeId
    control_planes: tuple[str, ...]
    """Base URLs; this node registers with each of them."""
    callback_url: str | None = None
    """Where callbacks go besides; without a path, the standard one is taken."""
    timeout_ms: int = 5_000
    """For one call, from the connection to the last byte of its answer."""
    backoff_first_ms: int = 500
    backoff_max_ms: int = 30_000


class RefusalCode(StrEnum):
    """The refusals that mean something to this node; every other one is OTHER."""

    NODE_UNKNOWN = "NODE_UNKNOWN"
    STALE_INCARNATION = "STALE_INCARNATION"
    NODE_ID_CONFLICT = "NODE_ID_CONFLICT"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Refused:
    """The control plane has answered, and the answer is no."""

    code: RefusalCode
    message: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """There was no answer, or none that can be read; the reason holds no secret."""

    reason: str


Failure: TypeAlias = Refused | Unreachable


@dataclass(frozen=True, slots=True)
class Registered:
    """A control plane knows this node from now on."""

    url: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A control plane has lost this node, being restarted, say; it is registered anew at once."""

    url: str


@dataclass(frozen=True, slots=True)
class NotRegistered:
    """Registering has failed for a new reason; told once for each, tried again for ever."""

    url: str
    failure: Failure


RegistrationEvent: TypeAlias = Registered | Forgotten | NotRegistered
