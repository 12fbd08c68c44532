"""The CLOUD profile: one control plane, and pools on nodes that are other machines."""

from orchestratord.cloud.running import running_cloud
from orchestratord.composed import Layout
from orchestratord.config import Settings


async def _as_they_are(settings: Settings) -> Settings:
    return settings


CLOUD = Layout(prepare=_as_they_are, running=running_cloud)

__all__ = ["CLOUD"]
