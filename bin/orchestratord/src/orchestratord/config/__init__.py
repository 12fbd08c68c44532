"""The configuration of orchestratord: command line over environment over file over default."""

from orchestratord.config.load import ConfigError, Loaded, load, nearest, variables
from orchestratord.config.model import Profile, Settings
from orchestratord.config.report import describe
from orchestratord.config.values import BindAddress, file_url_path, is_loopback_host

__all__ = [
    "BindAddress",
    "ConfigError",
    "Loaded",
    "Profile",
    "Settings",
    "describe",
    "file_url_path",
    "is_loopback_host",
    "load",
    "nearest",
    "variables",
]
