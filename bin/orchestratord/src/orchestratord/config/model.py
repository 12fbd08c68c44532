"""Everything that can be set about orchestratord, with its variable, unit and default."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from auth_min import BadSecret, Exposure, TokenSet, is_loopback
from gpu_discovery import DevicePolicy
from local_pool_manager import PoolConfig
from model_keeper import DiskSettings
from node_types import Identifier
from orchestratord.config.values import FileUrl, base_url, host_of
from program_config import (
    Alias,
    Bind,
    BindAddress,
    Bytes,
    Folder,
    Milliseconds,
    PriceMap,
    TextList,
    TextMap,
    Variable,
    default_machine_id,
    default_node_id,
)

MIB = 1024 * 1024
CREDENTIALS = ("api_keys", "api_keys_file", "api_token", "api_token_file")


class Profile(StrEnum):
    """How the system is laid out."""

    HOME = "home"
    CLOUD = "cloud"


def _cloud_flag(value: str) -> str:
    return {"true": "cloud", "1": "cloud", "false": "home", "0": "home"}.get(value.lower(), value)


def _seconds(value: str) -> str:
    return f"{value}000" if value.isdigit() else value


def _is_cloud(data: dict[str, Any]) -> bool:
    return data.get("profile") is Profile.CLOUD


def _is_home(data: dict[str, Any]) -> bool:
    return not _is_cloud(data)


def _default_bind(data: dict[str, Any]) -> BindAddress:
    return BindAddress("0.0.0.0" if _is_cloud(data) else "127.0.0.1", 8080)  # noqa: S104 - the contract's default in the cloud


def _default_runtime_dir(data: dict[str, Any]) -> Path:
    beside = Path(".runtime/engines")
    return beside.absolute() if beside.is_dir() else Path(data["home"]) / "engines"


def _default_artifacts_url(data: dict[str, Any]) -> str:
    return (Path(data["home"]).absolute() / "artifacts").as_uri()


class Settings(DiskSettings):
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

    api_keys: Annotated[SecretStr | None, Variable("ORCHD_API_KEYS")] = None
    """Keys of clients, each as `name:key`."""
    api_keys_file: Annotated[Folder | None, Variable("ORCHD_API_KEYS_FILE")] = None
    """The same in a file, which is read again when it changes."""
    api_token: Annotated[SecretStr | None, Variable("LLORCH_API_TOKEN")] = None
    """What nodes show here, and what is shown to them; several, the first is shown."""
    api_token_file: Annotated[Folder | None, Variable("LLORCH_API_TOKEN_FILE")] = None
    """The same in a file, which is read again when it changes."""
    auth_optional: Annotated[bool, Variable("LLORCH_AUTH_OPTIONAL")] = Field(
        default_factory=_is_home
    )
    """Whether callers on loopback need no credential."""
    trust_proxy_auth: Annotated[bool, Variable("LLORCH_TRUST_PROXY_AUTH")] = False
    """Whether a proxy on this machine may speak for others."""
    insecure_plaintext: Annotated[bool, Variable("LLORCH_INSECURE_PLAINTEXT")] = False
    tls_cert: Annotated[Folder | None, Variable("ORCHD_TLS_CERT")] = None
    tls_key: Annotated[Folder | None, Variable("ORCHD_TLS_KEY")] = None
    tls_ca: Annotated[Folder | None, Variable("ORCHD_TLS_CA")] = None
    """Who signs the nodes' certificates; unset: whom the system trusts."""

    bind_addr: Annotated[
        Bind,
        Variable("ORCHD_BIND_ADDR", (Alias("ORCHESTRATORD_ADDR"), Alias("ORCHD_ADDR"))),
    ] = Field(default_factory=_default_bind)
    metrics_port: Annotated[int | None, Variable("PROMETHEUS_METRICS_PORT")] = Field(
        default=None, ge=0, le=65535
    )
    """A port of its own for /metrics; unset: only the main port."""
    max_body_bytes: Annotated[Bytes, Variable("ORCHD_MAX_BODY_BYTES")] = Field(default=MIB)
    allowed_hosts: Annotated[TextList, Variable("ORCHD_ALLOWED_HOSTS")] = ()
    cors_origins: Annotated[TextList, Variable("ORCHD_CORS_ORIGINS")] = ()
    shutdown_grace_ms: Annotated[Milliseconds, Variable("ORCHD_SHUTDOWN_GRACE_MS")] = 10_000

    pool_managers: Annotated[
        TextList,
        Variable("ORCHD_POOL_MANAGERS", (Alias("POOL_MANAGERD_URLS"), Alias("POOL_MANAGERD_URL"))),
    ] = ()
    """Nodes that are polled, whether they register or not."""
    pool_managers_dns: Annotated[str | None, Variable("ORCHD_POOL_MANAGERS_DNS")] = None
    """A name whose SRV records are nodes."""
    pool_poll_interval_ms: Annotated[
        Milliseconds,
        Variable("ORCHD_POOL_POLL_INTERVAL_MS", (Alias("ORCHESTRATORD_POOL_POLL_INTERVAL_MS"),)),
    ] = 5_000
    node_timeout_ms: Annotated[
        Milliseconds,
        Variable("ORCHD_NODE_TIMEOUT_MS", (Alias("ORCHESTRATORD_NODE_TIMEOUT_SECS", _seconds),)),
    ] = Field(default=30_000, ge=100)
    """Silence on every channel after which a node is offline."""

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
    placement_scorer: Annotated[Literal["none", "prefix"], Variable("ORCHD_PLACEMENT_SCORER")] = (
        "none"
    )
    """`prefix`: a task goes where it is likely to be done first, warm caches taken into account."""
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
    session_cost_budget: Annotated[float, Variable("ORCHD_SESSION_COST_BUDGET")] = Field(
        default=0, ge=0, le=1_000_000_000, allow_inf_nan=False
    )
    """In the unit of the prices; 0: no budget."""
    price_per_1k_tokens: Annotated[PriceMap, Variable("ORCHD_PRICE_PER_1K_TOKENS")] = Field(
        default_factory=dict
    )
    """By model id or alias; a model without one has no cost budget and no X-Budget-Cost header."""
    transcripts: Annotated[bool, Variable("ORCHD_TRANSCRIPTS")] = False
    """Keep the course of every ended task as an artifact of its identity."""
    transcript_prompts: Annotated[bool, Variable("ORCHD_TRANSCRIPT_PROMPTS")] = False
    """With what was asked: else a transcript has the answer alone."""

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
    auto_pull: Annotated[bool, Variable("LLORCH_AUTO_PULL")] = Field(default_factory=_is_home)
    keep_engines: Annotated[bool, Variable("LLORCH_KEEP_ENGINES")] = False
    log_format: Annotated[Literal["auto", "console", "json"], Variable("LLORCH_LOG_FORMAT")] = (
        "auto"
    )
    """`auto`: console on a terminal, json elsewhere."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], Variable("LLORCH_LOG_LEVEL")
    ] = "info"

    @property
    def remote_nodes(self) -> bool:
        """Whether pools live in other processes: always in the cloud, at home if some are named."""
        return self.profile is Profile.CLOUD or bool(self.pool_managers)

    @property
    def has_credentials(self) -> bool:
        """Whether there is anything with which to come in."""
        return any(getattr(self, name) for name in CREDENTIALS)

    @property
    def exposure(self) -> Exposure:
        """How the program is about to listen."""
        return Exposure(
            bind_host=self.bind_addr.host,
            has_credentials=self.has_credentials,
            has_tls=self.tls_cert is not None,
            is_cloud=self.profile is Profile.CLOUD,
            insecure_plaintext=self.insecure_plaintext,
        )

    @field_validator("bind_addr")
    @classmethod
    def _not_open_to_everybody(cls, value: BindAddress, info: ValidationInfo) -> BindAddress:
        data = info.data
        if not ({*CREDENTIALS, "auth_optional"} <= data.keys()):
            return value  # What is wrong with those is told already.
        has_credentials = any(data[name] for name in CREDENTIALS)
        exposure = Exposure(value.host, has_credentials, has_tls=True, is_cloud=False)
        problems = list(exposure.problems())
        if value.is_loopback and not (has_credentials or data["auth_optional"]):
            problems.append(
                "no credential is configured and none is optional, so nobody could come in: set "
                "ORCHD_API_KEYS, or LLORCH_AUTH_OPTIONAL=true for callers of this machine"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @field_validator("tls_cert")
    @classmethod
    def _encrypted_in_the_cloud(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        exposure = Exposure(
            bind_host="localhost",
            has_credentials=True,
            has_tls=value is not None,
            is_cloud=_is_cloud(info.data),
            insecure_plaintext=info.data.get("insecure_plaintext", True),
        )
        if problems := exposure.problems():
            raise ValueError("; ".join(problems))
        return value

    @model_validator(mode="after")
    def _home_is_one_machine(self) -> Self:
        if self.profile is Profile.HOME:
            if far := [url for url in self.pool_managers if not is_loopback(host_of(url))]:
                raise ValueError(
                    f"pool_managers: at home nodes are on this machine, not at {far[0]}; the "
                    "profile cloud reaches others"
                )
            if self.pool_managers_dns is not None:
                raise ValueError("pool_managers_dns: needs the profile cloud")
        return self

    @field_validator("api_keys", "api_token")
    @classmethod
    def _usable_secrets(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        parse = TokenSet.parse_keys if info.field_name == "api_keys" else TokenSet.parse
        if value is not None:
            try:
                parse(value.get_secret_value())
            except BadSecret as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("pool_managers")
    @classmethod
    def _base_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(base_url(url) for url in value))

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
