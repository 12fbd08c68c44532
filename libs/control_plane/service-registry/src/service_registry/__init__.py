"""Which nodes are online: leases, stale detection and safe mode."""

from service_registry.events import (
    NodeChanged,
    NodeOffline,
    NodeOnline,
    NodeRemoved,
    NodeReported,
    RegistryEvent,
    SafeModeEntered,
    SafeModeLeft,
)
from service_registry.leases import NodeLeases
from service_registry.machine import TRANSITIONS, Stimulus
from service_registry.registry import ServiceRegistry, monotonic_ms
from service_registry.types import (
    LeaseState,
    NodeLease,
    RefusalCode,
    Refused,
    RegistryHealth,
    RegistrySettings,
    Report,
)

__all__ = [
    "TRANSITIONS",
    "LeaseState",
    "NodeChanged",
    "NodeLease",
    "NodeLeases",
    "NodeOffline",
    "NodeOnline",
    "NodeRemoved",
    "NodeReported",
    "RefusalCode",
    "Refused",
    "RegistryEvent",
    "RegistryHealth",
    "RegistrySettings",
    "Report",
    "SafeModeEntered",
    "SafeModeLeft",
    "ServiceRegistry",
    "Stimulus",
    "monotonic_ms",
]
