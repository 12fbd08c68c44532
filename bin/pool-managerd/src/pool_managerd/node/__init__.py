"""The node: its pools, its presence at the control planes, its life."""

from pool_managerd.node.running import Node, running_node
from pool_managerd.node.serving import serve

__all__ = ["Node", "running_node", "serve"]
