"""The configuration of orchestratord: command line over environment over file over default."""

from orchestratord.config.model import Profile, Settings
from orchestratord.config.schema import SCHEMA
from orchestratord.config.values import file_url_path

__all__ = ["SCHEMA", "Profile", "Settings", "file_url_path"]
