"""Sees handoff files appear, change and vanish."""

from handoff_watcher.core import HandoffKey
from handoff_watcher.events import (
    HandoffAppeared,
    HandoffChanged,
    HandoffEvent,
    HandoffMalformed,
    HandoffVanished,
    WatchTrouble,
)
from handoff_watcher.process import (
    HostIdentity,
    PidState,
    check_pid,
    pid_start_ticks,
    read_host_identity,
)
from handoff_watcher.watcher import HandoffWatcher, WatchSettings
from pool_registry_types import HandoffModel, HandoffPayload

__all__ = [
    "HandoffAppeared",
    "HandoffChanged",
    "HandoffEvent",
    "HandoffKey",
    "HandoffMalformed",
    "HandoffModel",
    "HandoffPayload",
    "HandoffVanished",
    "HandoffWatcher",
    "HostIdentity",
    "PidState",
    "WatchSettings",
    "WatchTrouble",
    "check_pid",
    "pid_start_ticks",
    "read_host_identity",
]
