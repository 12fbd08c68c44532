"""Metrics, logs and transcripts of what the libraries report."""

from orchestratord.observing.fan_out import FanOut
from orchestratord.observing.http import HttpMetrics
from orchestratord.observing.narration import TaskNarrator
from orchestratord.observing.pool_metrics import PoolGauges
from orchestratord.observing.task_metrics import ANY_POOL, TaskMetrics
from orchestratord.observing.transcripts import Transcripts
from orchestratord.observing.upstream import PoolHealthMetrics, UpstreamMetrics, route_of

__all__ = [
    "ANY_POOL",
    "FanOut",
    "HttpMetrics",
    "PoolGauges",
    "PoolHealthMetrics",
    "TaskMetrics",
    "TaskNarrator",
    "Transcripts",
    "UpstreamMetrics",
    "route_of",
]
