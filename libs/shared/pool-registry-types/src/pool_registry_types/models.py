"""A model as its node reports it."""

from enum import StrEnum

from node_types import Identifier, ServiceModel
from pool_registry_types.pools import Digest


class ModelState(StrEnum):
    """Where a model stands in the catalog of its node."""

    ACTIVE = "Active"
    RETIRED = "Retired"


class ModelReport(ServiceModel):
    """One model that lies on a node's disk."""

    model_id: Identifier
    digest: Digest | None = None
    state: ModelState = ModelState.ACTIVE
