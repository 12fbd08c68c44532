"""Where models come from: each source lists a model's files and opens them at an offset."""

from model_provisioner.sources.opening import open_source
from model_provisioner.sources.port import Body, RemoteFile, Source

__all__ = ["Body", "RemoteFile", "Source", "open_source"]
