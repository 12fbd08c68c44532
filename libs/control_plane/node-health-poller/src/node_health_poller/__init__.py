"""Polls nodes that are listed by URL or DNS and reports them as if they had registered."""

from node_health_poller.dns import SrvResolver
from node_health_poller.http import HttpNodeClient
from node_health_poller.poller import NodeHealthPoller, monotonic_ms
from node_health_poller.ports import NodeClient, ServiceResolver, Unanswered
from node_health_poller.types import (
    CachedStatus,
    Freshness,
    NodePolled,
    PollFailed,
    PollResult,
    PollSettings,
    freshness,
    pause_s,
)

__all__ = [
    "CachedStatus",
    "Freshness",
    "HttpNodeClient",
    "NodeClient",
    "NodeHealthPoller",
    "NodePolled",
    "PollFailed",
    "PollResult",
    "PollSettings",
    "ServiceResolver",
    "SrvResolver",
    "Unanswered",
    "freshness",
    "monotonic_ms",
    "pause_s",
]
