"""How models are fetched: what a program decides once and passes in."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from model_provisioner.policy import NetworkPolicy


class Sources(Protocol):
    """Where models come from, as an operator says it: settings of a program."""

    @property
    def network_policy(self) -> Sequence[str]:
        """As for `NetworkPolicy.parse`."""
        ...

    @property
    def hub_endpoint(self) -> str:
        """The hub that `hf:` means."""
        ...

    @property
    def hub_token(self) -> SecretStr | None:
        """Shown to that hub only."""
        ...

    @property
    def s3_endpoint(self) -> str | None:
        """The server that `s3:` means; None: Amazon's."""
        ...

    @property
    def s3_region(self) -> str | None:
        """Where it says that it is."""
        ...


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
    def of(cls, said: Sources) -> "FetchSettings":
        """What an operator has said of one hub and one S3 server, public or private."""
        s3 = {"endpoint": said.s3_endpoint, "region": said.s3_region}
        return cls(
            policy=NetworkPolicy.parse(said.network_policy),
            hub_endpoint=said.hub_endpoint,
            hub_token=said.hub_token.get_secret_value() if said.hub_token else None,
            object_store_options={"s3": {name: value for name, value in s3.items() if value}},
        )
