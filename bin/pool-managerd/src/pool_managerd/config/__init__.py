"""The configuration of pool-managerd."""

from pool_managerd.config.model import SCHEMA, Profile, Settings

__all__ = ["SCHEMA", "Profile", "Settings"]
