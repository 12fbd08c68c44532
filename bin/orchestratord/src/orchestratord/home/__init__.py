"""The HOME profile: the control plane and its one node in one process."""

from orchestratord.composed import Layout
from orchestratord.home.preparing import prepared
from orchestratord.home.running import running_home

HOME = Layout(prepare=prepared, running=running_home)

__all__ = ["HOME"]
