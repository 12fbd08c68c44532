"""Strategies for pools, replicas, models and the handoff file; needs `hypothesis`."""

import pool_registry_types
from node_types.testing import instances, models_of, register

register(*models_of(pool_registry_types))

__all__ = ["instances"]
