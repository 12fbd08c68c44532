"""The live cluster view, its reservations, and the PlacementInput made of it."""

from multi_node_placement.cluster_view import ClusterView
from multi_node_placement.errors import AmbiguousPool, NotPlaced, PlacementError, UnknownPool
from multi_node_placement.models import ServedModel
from multi_node_placement.paces import Measured
from multi_node_placement.prefix_scorer import PrefixScorer
from multi_node_placement.prompts import Work, blocks_of
from multi_node_placement.slots import Reservation
from multi_node_placement.swapping import SwapBook, SwappingPool

__all__ = [
    "AmbiguousPool",
    "ClusterView",
    "Measured",
    "NotPlaced",
    "PlacementError",
    "PrefixScorer",
    "Reservation",
    "ServedModel",
    "SwapBook",
    "SwappingPool",
    "UnknownPool",
    "Work",
    "blocks_of",
]
