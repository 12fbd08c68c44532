"""Brings a model to this disk, verified, and enters it in the catalog."""

from model_provisioner.provisioner import ModelProvisioner, Progress

__all__ = ["ModelProvisioner", "Progress"]
