"""The CLOUD profile: one control plane, and pools on nodes that are other machines."""

from orchestratord.cloud.running import running_cloud

__all__ = ["running_cloud"]
