"""The HOME profile: the control plane and its one node in one process."""

from orchestratord.home.running import Home, running_home
from orchestratord.home.serving import serve

__all__ = ["Home", "running_home", "serve"]
