"""Brings a model to this disk, verified, and enters it in the catalog."""

from model_provisioner.errors import (
    DiskFullError,
    FetchError,
    NetworkRefusedError,
    SourceError,
    SourceMissingError,
    StoreError,
    UnauthorizedError,
)
from model_provisioner.intake import STEP_KIND
from model_provisioner.jobs import Progress
from model_provisioner.policy import Endpoint, NetworkPolicy
from model_provisioner.progress import FETCH_KIND
from model_provisioner.provisioner import ModelProvisioner
from model_provisioner.settings import FetchSettings

__all__ = [
    "FETCH_KIND",
    "STEP_KIND",
    "DiskFullError",
    "Endpoint",
    "FetchError",
    "FetchSettings",
    "ModelProvisioner",
    "NetworkPolicy",
    "NetworkRefusedError",
    "Progress",
    "SourceError",
    "SourceMissingError",
    "StoreError",
    "UnauthorizedError",
]
