"""The HTTP shell: routes, doors, errors and streams around the libraries that do the work."""

from orchestratord.http.app import (
    METRICS_PORT_OPERATIONS,
    create_app,
    create_edge,
    create_short_way,
)
from orchestratord.http.services import (
    Cursor,
    HttpObserver,
    Machine,
    Models,
    Nodes,
    Pools,
    Services,
    Submission,
    Tasks,
)

__all__ = [
    "METRICS_PORT_OPERATIONS",
    "Cursor",
    "HttpObserver",
    "Machine",
    "Models",
    "Nodes",
    "Pools",
    "Services",
    "Submission",
    "Tasks",
    "create_app",
    "create_edge",
    "create_short_way",
]
