"""Everything that can be set about orchestratord, with its variable, unit and default."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator

from gpu_discovery import DevicePolicy
from local_pool_manager import PoolConfig
from node_types import Identifier
from orchestratord.config.values import FileUrl
from program_config import (
    Alias,
    Bind,
    BindAddress,
    Bytes,
    Folder,
    Milliseconds,
    ProgramSettings,
    TextList,
    TextMap,
    Variable,
    default_machine_id,
    default_node_id,
)

MIB = 1024 * 1024
MIN_API_TOKEN_CHARS = 32


class Profile(StrEnum):
    """How the system is laid out."""

    HOME = "home"
    CLOUD = "cloud"


def _cloud_flag(value: str) -> str:
    return {"true": "cloud", "1": "cloud", "false": "home", "0": "home"}.get(value.lower(), value)


def _default_runtime_dir(data: dict[str, Any]) -> Path:
    beside = Path(".runtime/engines")
    return beside.absolute() if beside.is_dir() else Path(data["home"]) / "engines"


def _default_artifacts_url(data: dict[str, Any]) -> str:
    return (Path(data["home"]).absolute() / "artifacts").as_uri()


class Settings(ProgramSettings):
    """The settings of one process."""

    profile: Annotated[
        Profile,
        Variable(
            "LLORCH_PROFILE",
            (Alias("ORCHD_PROFILE"), Alias("ORCHESTRATORD_CLOUD_PROFILE", _cloud_flag)),
        ),
    ] = Profile.HOME
    demo: bool = False
    """Serve the built-in model on the CPU."""
    model: str | None = None
    """Serve this model reference without a configured pool."""
    pools: tuple[PoolConfig, ...] = ()
    """File only."""

    bind_addr: Annotated[
        Bind,
        Variable("ORCHD_BIND_ADDR", (Alias("ORCHESTRATORD_ADDR"), Alias("ORCHD_ADDR"))),
    ] = BindAddress("127.0.0.1", 8080)
    metrics_port: Annotated[int | None, Variable("PROMETHEUS_METRICS_PORT")] = Field(
        default=None, ge=0, le=65535
    )
    """A port of its own for /metrics; unset: only the main port."""
    max_body_bytes: Annotated[Bytes, Variable("ORCHD_MAX_BODY_BYTES")] = Field(default=MIB)
    allowed_hosts: Annotated[TextList, Variable("ORCHD_ALLOWED_HOSTS")] = ()
    cors_origins: Annotated[TextList, Variable("ORCHD_CORS_ORIGINS")] = ()
    shutdown_grace_ms: Annotated[Milliseconds, Variable("ORCHD_SHUTDOWN_GRACE_MS")] = 10_000

    admission_capacity: Annotated[int, Variable("ORCHD_ADMISSION_CAPACITY")] = Field(
        default=100, ge=1, le=10_000_000
    )
    admission_policy: Annotated[
        Literal["reject", "drop-lru"], Variable("ORCHD_ADMISSION_POLICY")
    ] = "drop-lru"
    admission_max_bytes: Annotated[Bytes, Variable("ORCHD_ADMISSION_MAX_BYTES")] = Field(
        default=64 * MIB
    )
    queue_max_wait_ms: Annotated[Milliseconds, Variable("ORCHD_QUEUE_MAX_WAIT_MS")] = 600_000
    batch_max_wait_ms: Annotated[Milliseconds, Variable("ORCHD_BATCH_MAX_WAIT_MS")] = 30_000
    pinning: Annotated[Literal["allow", "deny"], Variable("ORCHD_PINNING")] = "allow"
    retry_budget: Annotated[int, Variable("ORCHD_RETRY_BUDGET")] = Field(default=3, ge=0, le=100)
    """Attempts that a task may lose before its first token."""
    model_aliases: Annotated[TextMap, Variable("ORCHD_MODEL_ALIASES")] = Field(default_factory=dict)

    first_token_timeout_ms: Annotated[Milliseconds, Variable("ORCHD_FIRST_TOKEN_TIMEOUT_MS")] = (
        600_000
    )
    decode_idle_timeout_ms: Annotated[Milliseconds, Variable("ORCHD_DECODE_IDLE_TIMEOUT_MS")] = (
        60_000
    )
    decode_wall_timeout_ms: Annotated[Milliseconds, Variable("ORCHD_DECODE_WALL_TIMEOUT_MS")] = (
        600_000
    )
    task_retention_ms: Annotated[Milliseconds, Variable("ORCHD_TASK_RETENTION_MS")] = 600_000
    event_log_max_bytes: Annotated[Bytes, Variable("ORCHD_EVENT_LOG_MAX_BYTES")] = Field(
        default=4 * MIB
    )
    session_ttl_ms: Annotated[Milliseconds, Variable("ORCHD_SESSION_TTL_MS")] = 600_000
    session_max_turns: Annotated[int, Variable("ORCHD_SESSION_MAX_TURNS")] = Field(default=8, ge=0)
    """0: no limit."""
    session_token_budget: Annotated[int, Variable("ORCHD_SESSION_TOKEN_BUDGET")] = Field(
        default=0, ge=0
    )
    """Tokens in and out; 0: no budget, and no X-Budget header."""
    session_time_budget_ms: Annotated[int, Variable("ORCHD_SESSION_TIME_BUDGET_MS")] = Field(
        default=0, ge=0
    )
    """Time on an engine; 0: no budget."""

    home: Annotated[Folder, Variable("LLORCH_HOME")] = Path("~/.local/share/llama-orch")
    artifacts_url: Annotated[FileUrl, Variable("ORCHD_ARTIFACTS_URL")] = Field(
        default_factory=_default_artifacts_url
    )
    runtime_dir: Annotated[Folder, Variable("POOL_MANAGERD_RUNTIME_DIR")] = Field(
        default_factory=_default_runtime_dir
    )
    """Where handoff files lie."""
    watch_interval_ms: Annotated[Milliseconds, Variable("POOL_MANAGERD_WATCH_INTERVAL_MS")] = 1000
    auto_delete_handoff: Annotated[bool, Variable("POOL_MANAGERD_AUTO_DELETE_HANDOFF")] = False
    gpu_discovery_interval_ms: Annotated[
        Milliseconds, Variable("POOL_MANAGERD_GPU_DISCOVERY_INTERVAL_MS")
    ] = 10_000
    node_id: Annotated[Identifier, Variable("POOL_MANAGERD_NODE_ID")] = Field(
        default_factory=default_node_id
    )
    machine_id: Annotated[str, Variable("POOL_MANAGERD_MACHINE_ID")] = Field(
        default_factory=default_machine_id, min_length=1, max_length=128
    )

    device_policy: Annotated[DevicePolicy, Variable("LLORCH_DEVICE_POLICY")] = DevicePolicy.GPU
    network_policy: Annotated[TextList, Variable("LLORCH_NETWORK_POLICY")] = ("allow",)
    """`allow`, `deny`, or the hosts from which downloads are allowed."""
    auto_pull: Annotated[bool, Variable("LLORCH_AUTO_PULL")] = True
    keep_engines: Annotated[bool, Variable("LLORCH_KEEP_ENGINES")] = False
    api_tokens: Annotated[
        tuple[SecretStr, ...], Variable("LLORCH_API_TOKEN", file_variant=True)
    ] = ()
    """For service-to-service calls, of which HOME makes none."""
    log_format: Annotated[Literal["auto", "console", "json"], Variable("LLORCH_LOG_FORMAT")] = (
        "auto"
    )
    """`auto`: console on a terminal, json elsewhere."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], Variable("LLORCH_LOG_LEVEL")
    ] = "info"

    @field_validator("profile")
    @classmethod
    def _home_only(cls, value: Profile) -> Profile:
        if value is Profile.CLOUD:
            raise ValueError("this version serves the HOME profile only; set it to home")
        return value

    @field_validator("bind_addr")
    @classmethod
    def _loopback_only(cls, value: BindAddress) -> BindAddress:
        if not value.is_loopback:
            raise ValueError(
                f"{value.host} can be reached from other machines, and this version has no "
                "authentication: bind a loopback address such as 127.0.0.1"
            )
        return value

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _split_tokens(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part for part in re.split(r"[\s,]+", value) if part)
        return value

    @field_validator("api_tokens")
    @classmethod
    def _long_tokens(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(token) < MIN_API_TOKEN_CHARS for token in value):
            raise ValueError(f"each token needs at least {MIN_API_TOKEN_CHARS} characters")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _plain_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+", origin):
                raise ValueError(f"an origin is scheme://host[:port] and no more, not {origin!r}")
        return tuple(origin.lower() for origin in value)

    @field_validator("network_policy")
    @classmethod
    def _one_policy(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or (len(value) > 1 and {"allow", "deny"} & set(value)):
            raise ValueError("must be allow, deny, or a list of hosts")
        return value

    @field_validator("pools")
    @classmethod
    def _unique_pools(cls, value: tuple[PoolConfig, ...]) -> tuple[PoolConfig, ...]:
        ids = [pool.id for pool in value]
        if twice := sorted({pool_id for pool_id in ids if ids.count(pool_id) > 1}):
            raise ValueError(f"pool id {twice[0]!r} is given twice")
        return value
