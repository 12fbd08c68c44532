"""For tests of users: generated values, and plain models of queue and placement to compare with.

Needs the extra `testing` (hypothesis).
"""

from orchestrator_core.testing.reference import ReferenceQueue, reference_choice
from orchestrator_core.testing.strategies import (
    FixedScorer,
    constraints,
    identities,
    replica_indexes,
    replica_views,
    scorers,
)

__all__ = [
    "FixedScorer",
    "ReferenceQueue",
    "constraints",
    "identities",
    "reference_choice",
    "replica_indexes",
    "replica_views",
    "scorers",
]
