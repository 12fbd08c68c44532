"""Brings a model to this disk, verified, and enters it in the catalog."""

from model_provisioner.intake import STEP_KIND
from model_provisioner.provisioner import ModelProvisioner, Progress

__all__ = ["STEP_KIND", "ModelProvisioner", "Progress"]
