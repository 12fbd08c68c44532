"""Everything that can be set about engine-provisionerd, with its variable, unit and default."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from gpu_discovery import DeviceMaskError, DevicePolicy, parse_mask
from local_pool_manager import PoolConfig, ProvisioningOwner, service_dir
from node_types import Identifier
from program_config import (
    Alias,
    Bind,
    BindAddress,
    Folder,
    Milliseconds,
    Schema,
    SourceSettings,
    TextList,
    Variable,
    default_machine_id,
    default_node_id,
)

DEFAULT_BIND = BindAddress("127.0.0.1", 9201)


class Profile(StrEnum):
    """How the system is laid out."""

    HOME = "home"
    CLOUD = "cloud"


def _cloud_flag(value: str) -> str:
    return {"true": "cloud", "1": "cloud", "false": "home", "0": "home"}.get(value.lower(), value)


def _default_runtime_dir(data: dict[str, Any]) -> Path:
    beside = Path(".runtime/engines")
    return beside.absolute() if beside.is_dir() else Path(data["home"]) / "engines"


def _default_cache_dir() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "llama-orch" / "engines"


def _is_home(data: dict[str, Any]) -> bool:
    return data.get("profile") is Profile.HOME


class Settings(SourceSettings):
    """The settings of one process."""

    profile: Annotated[
        Profile,
        Variable(
            "LLORCH_PROFILE",
            (Alias("ORCHD_PROFILE"), Alias("ORCHESTRATORD_CLOUD_PROFILE", _cloud_flag)),
        ),
    ] = Profile.CLOUD
    node_id: Annotated[Identifier, Variable("POOL_MANAGERD_NODE_ID")] = Field(
        default_factory=default_node_id
    )
    """That of the pool-managerd beside it: metrics carry it."""
    machine_id: Annotated[str, Variable("POOL_MANAGERD_MACHINE_ID")] = Field(
        default_factory=default_machine_id, min_length=1, max_length=128
    )
    pools: tuple[PoolConfig, ...] = ()
    """File only; those with `provisioning.owner = "service"` are served here."""

    insecure_plaintext: Annotated[bool, Variable("LLORCH_INSECURE_PLAINTEXT")] = False
    bind_addr: Annotated[Bind, Variable("ENGINE_PROVISIONER_BIND_ADDR")] = DEFAULT_BIND
    """For /health and /metrics, and nothing else."""

    home: Annotated[Folder, Variable("LLORCH_HOME")] = Path("~/.local/share/llama-orch")
    runtime_dir: Annotated[
        Folder, Variable("ENGINE_PROVISIONER_HANDOFF_DIR", (Alias("POOL_MANAGERD_RUNTIME_DIR"),))
    ] = Field(default_factory=_default_runtime_dir)
    """Where handoff files lie, and wishes: the runtime folder of the pool-managerd beside it."""
    cache_dir: Annotated[Folder, Variable("ENGINE_PROVISIONER_CACHE_DIR")] = Field(
        default_factory=_default_cache_dir
    )
    """Where engines that were built or fetched are kept."""
    gpu_mask: Annotated[TextList, Variable("ENGINE_PROVISIONER_GPU_MASK")] = ()
    """The GPUs that pools may have, as indexes or UUIDs; unset: all."""
    gpu_discovery_interval_ms: Annotated[
        Milliseconds, Variable("POOL_MANAGERD_GPU_DISCOVERY_INTERVAL_MS")
    ] = 10_000
    device_policy: Annotated[DevicePolicy, Variable("LLORCH_DEVICE_POLICY")] = DevicePolicy.GPU
    keep_engines: Annotated[bool, Variable("LLORCH_KEEP_ENGINES")] = False
    auto_pull: Annotated[bool, Variable("LLORCH_AUTO_PULL")] = Field(default_factory=_is_home)
    """Whether models that are not on this disk are fetched."""
    log_format: Annotated[Literal["auto", "console", "json"], Variable("LLORCH_LOG_FORMAT")] = (
        "auto"
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], Variable("LLORCH_LOG_LEVEL")
    ] = "info"

    @property
    def own_pools(self) -> tuple[PoolConfig, ...]:
        """The pools whose engines are started here."""
        return tuple(
            pool for pool in self.pools if pool.provisioning.owner is ProvisioningOwner.SERVICE
        )

    @property
    def private_dir(self) -> Path:
        """What only this program reads and writes."""
        return service_dir(self.runtime_dir)

    @model_validator(mode="after")
    def _not_open_to_everybody(self) -> Self:
        if not (self.bind_addr.is_loopback or self.insecure_plaintext):
            raise ValueError(
                f"bind_addr {self.bind_addr}: /health and /metrics have no authentication here; "
                "bind the loopback, or set LLORCH_INSECURE_PLAINTEXT=true in a network of your own"
            )
        return self

    @field_validator("gpu_mask")
    @classmethod
    def _names_devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            try:
                parse_mask(",".join(value))
            except DeviceMaskError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("pools")
    @classmethod
    def _unique_pools(cls, value: tuple[PoolConfig, ...]) -> tuple[PoolConfig, ...]:
        ids = [pool.id for pool in value]
        if twice := sorted({pool_id for pool_id in ids if ids.count(pool_id) > 1}):
            raise ValueError(f"pool id {twice[0]!r} is given twice")
        return value


OTHERS_KEYS = frozenset(
    {
        *("admission_capacity", "admission_max_bytes", "admission_policy", "advertise_url"),
        *("allowed_hosts", "api_keys", "api_keys_file", "api_token", "api_token_file"),
        *("artifacts_url", "auth_optional", "auto_delete_handoff", "batch_max_wait_ms"),
        *("bind_addr", "callback_url", "cors_origins", "decode_idle_timeout_ms"),
        *("decode_wall_timeout_ms", "demo", "drain_deadline_ms", "event_log_max_bytes"),
        *("first_token_timeout_ms", "gc_interval_ms", "gc_max_disk_usage_percent"),
        *("gc_min_free_gb", "gc_recent_days", "gc_retired_after_days"),
        *("heartbeat_interval_ms", "labels", "max_body_bytes", "metrics_port", "model"),
        *("model_aliases", "model_cache_max_bytes", "node_timeout_ms"),
        *("orchestratord_urls", "pinning"),
        *("placement_scorer", "pool_managers", "pool_managers_dns"),
        *("pool_poll_interval_ms", "preemption_file", "price_per_1k_tokens"),
        *("queue_max_wait_ms", "retry_budget", "session_cost_budget", "session_max_turns"),
        *("session_time_budget_ms", "session_token_budget", "session_ttl_ms"),
        *("shutdown_grace_ms", "task_retention_ms", "tls_ca", "tls_cert", "tls_key"),
        *("transcript_prompts", "transcripts", "trust_proxy_auth", "watch_interval_ms"),
    }
)
"""What a file for the programs beside it may hold at its top: it serves here as it is."""

SCHEMA = Schema(
    program="engine-provisionerd",
    settings=Settings,
    file_only=frozenset({"pools"}),
    items={"pools": PoolConfig},
    elsewhere=OTHERS_KEYS,
)
