"""How models are fetched: what a program decides once and passes in."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_provisioner.policy import NetworkPolicy


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """Where models may come from and how patiently they are fetched."""

    policy: NetworkPolicy
    hub_endpoint: str = "https://huggingface.co"
    hub_token: str | None = field(default=None, repr=False)
    """Sent to the hub's own host only, never to where it redirects."""
    object_store_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """By scheme (`s3`, `gs`, `az`): options of obstore's store, such as endpoint and keys."""
    registry_credentials: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """By registry host: user and password."""
    keep_free_bytes: int = 1_000_000_000
    """What a download leaves of the disk to others."""
    free_bytes: Callable[[Path], int] = _free_bytes
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    """How long a source may send nothing, and another process that fetches the same, too."""
    attempts: int = 8
    """In a row without a single new byte."""
    first_pause_s: float = 0.5
    longest_pause_s: float = 60.0

    @classmethod
    def of(
        cls,
        *,
        policy: NetworkPolicy,
        hub_endpoint: str,
        hub_token: str | None,
        s3_endpoint: str | None,
        s3_region: str | None,
    ) -> "FetchSettings":
        """What the daemons let an operator say: one hub and one S3 server, public or private."""
        s3 = {"endpoint": s3_endpoint, "region": s3_region}
        return cls(
            policy=policy,
            hub_endpoint=hub_endpoint,
            hub_token=hub_token,
            object_store_options={"s3": {name: value for name, value in s3.items() if value}},
        )
