"""Valid values of wire types, and the checks that hold their wire form; needs `hypothesis`."""

from node_types import GpuInfo, NodeCapabilities, NodeInfo
from node_types.testing.strategies import instances, json_values, register, values
from node_types.testing.suite import WireSuite
from node_types.testing.wire import (
    check_golden,
    check_round_trip,
    check_tolerance,
    examples,
    models_of,
)

register(GpuInfo, NodeCapabilities, NodeInfo)

__all__ = [
    "WireSuite",
    "check_golden",
    "check_round_trip",
    "check_tolerance",
    "examples",
    "instances",
    "json_values",
    "models_of",
    "register",
    "values",
]
