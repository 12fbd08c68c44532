"""The engine relay: bytes between a client and an engine on loopback."""

from pool_managerd.relay.ports import Engines, Standing
from pool_managerd.relay.relay import RELAY_PATH, Relay
from pool_managerd.relay.short import ShortRelay

__all__ = ["RELAY_PATH", "Engines", "Relay", "ShortRelay", "Standing"]
