"""The metric definitions of the contract and their Prometheus exposition."""

from telemetry_core.answers import AnsweredRequests
from telemetry_core.contract import CONTRACT, MetricKind, MetricSpec, Program
from telemetry_core.errors import TelemetryError, UnknownMetricError, WrongLabelsError
from telemetry_core.facts import MANY, Facts
from telemetry_core.families import OTHER, Family
from telemetry_core.metrics import Metrics
from telemetry_core.pools import PoolMetrics
from telemetry_core.tallies import TallyHistogram

__all__ = [
    "CONTRACT",
    "MANY",
    "OTHER",
    "AnsweredRequests",
    "Facts",
    "Family",
    "MetricKind",
    "MetricSpec",
    "Metrics",
    "PoolMetrics",
    "Program",
    "TallyHistogram",
    "TelemetryError",
    "UnknownMetricError",
    "WrongLabelsError",
]
