"""Tells every control plane, again and again, how this node is."""

from heartbeat_reporter.events import HeartbeatEvent, HeartbeatsHeard, HeartbeatsLost
from heartbeat_reporter.ports import ControlPlane, Pause
from heartbeat_reporter.reporter import HeartbeatReporter, NodeReport, pause, wall_clock_ms
from heartbeat_reporter.schedule import HeartbeatSettings, pause_s

__all__ = [
    "ControlPlane",
    "HeartbeatEvent",
    "HeartbeatReporter",
    "HeartbeatSettings",
    "HeartbeatsHeard",
    "HeartbeatsLost",
    "NodeReport",
    "Pause",
    "pause",
    "pause_s",
    "wall_clock_ms",
]
