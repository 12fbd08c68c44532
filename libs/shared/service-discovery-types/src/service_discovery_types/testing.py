"""Strategies for the messages of a node; needs `hypothesis`."""

import pool_registry_types.testing  # noqa: F401 - registers the nested types
import service_discovery_types
from node_types.testing import instances, models_of, register

register(*models_of(service_discovery_types))

__all__ = ["instances"]
