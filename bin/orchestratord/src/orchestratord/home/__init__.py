"""The HOME profile: the control plane and its one node in one process."""

from orchestratord.home.demo import banner, with_default_pool, with_demo
from orchestratord.home.folder import prepare_home
from orchestratord.home.running import running_home

__all__ = ["banner", "prepare_home", "running_home", "with_default_pool", "with_demo"]
