"""The HTTP of port 9200."""

from pool_managerd.http.app import create_app, create_edge
from pool_managerd.http.services import NodeServices

__all__ = ["NodeServices", "create_app", "create_edge"]
