"""The HTTP of port 9200."""

from pool_managerd.http.app import ERRORS, create_app, create_edge
from pool_managerd.http.gate import NodeGate
from pool_managerd.http.services import NodeServices

__all__ = ["ERRORS", "NodeGate", "NodeServices", "create_app", "create_edge"]
