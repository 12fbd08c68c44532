"""Everything that can be set about pool-managerd, with its variable, unit and default."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    TypeAdapter,
    field_validator,
    model_validator,
)

from auth_min import BadSecret, Exposure, TokenSet
from gpu_discovery import DevicePolicy
from local_pool_manager import PoolConfig
from model_keeper import DiskSettings
from node_types import Identifier, Labels
from program_config import (
    Alias,
    Bind,
    BindAddress,
    Bytes,
    Folder,
    Layer,
    Milliseconds,
    Schema,
    TextList,
    TextMap,
    Variable,
    default_machine_id,
    default_node_id,
)

MIB = 1024 * 1024
_LABELS = TypeAdapter(Labels)


class Profile(StrEnum):
    """How the system is laid out."""

    HOME = "home"
    CLOUD = "cloud"


def _cloud_flag(value: str) -> str:
    return {"true": "cloud", "1": "cloud", "false": "home", "0": "home"}.get(value.lower(), value)


def _seconds(value: str) -> str:
    return f"{value}000" if value.isdigit() else value


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"must be http://HOST[:PORT] or https://HOST[:PORT], not {value!r}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a URL here has no credentials, query or fragment")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_base_url)]


def _default_bind(data: dict[str, Any]) -> BindAddress:
    return BindAddress("0.0.0.0" if data.get("profile") is Profile.CLOUD else "127.0.0.1", 9200)  # noqa: S104 - the contract's default in the cloud


def _default_runtime_dir(data: dict[str, Any]) -> Path:
    beside = Path(".runtime/engines")
    return beside.absolute() if beside.is_dir() else Path(data["home"]) / "engines"


def _default_auth_optional(data: dict[str, Any]) -> bool:
    return data.get("profile") is Profile.HOME


class Settings(DiskSettings):
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
    machine_id: Annotated[str, Variable("POOL_MANAGERD_MACHINE_ID")] = Field(
        default_factory=default_machine_id, min_length=1, max_length=128
    )
    labels: Annotated[TextMap, Variable("POOL_MANAGERD_LABELS")] = Field(default_factory=dict)
    """Such as region and zone: what placement can ask for."""
    pools: tuple[PoolConfig, ...] = ()
    """File only."""

    bind_addr: Annotated[
        Bind, Variable("POOL_MANAGERD_BIND_ADDR", (Alias("POOL_MANAGERD_ADDR"),))
    ] = Field(default_factory=_default_bind)
    advertise_url: Annotated[Url | None, Variable("POOL_MANAGERD_ADVERTISE_URL")] = None
    """Where control planes reach this node; unset: made of bind address and host name."""
    orchestratord_urls: Annotated[
        TextList, Variable("POOL_MANAGERD_ORCHESTRATORD_URL", (Alias("ORCHESTRATORD_URL"),))
    ] = ()
    """Control planes to register with."""
    callback_url: Annotated[Url | None, Variable("POOL_MANAGERD_ORCHESTRATORD_CALLBACK_URL")] = None
    heartbeat_interval_ms: Annotated[
        Milliseconds,
        Variable(
            "POOL_MANAGERD_HEARTBEAT_INTERVAL_MS",
            (Alias("ORCHESTRATORD_HEARTBEAT_INTERVAL_SECS", _seconds),),
        ),
    ] = 10_000
    """Until a control plane says otherwise."""
    tls_cert: Annotated[Folder | None, Variable("POOL_MANAGERD_TLS_CERT")] = None
    tls_key: Annotated[Folder | None, Variable("POOL_MANAGERD_TLS_KEY")] = None
    tls_ca: Annotated[Folder | None, Variable("POOL_MANAGERD_TLS_CA")] = None
    """Who signs the control planes' certificates; unset: whom the system trusts."""
    max_body_bytes: Annotated[Bytes, Variable("POOL_MANAGERD_MAX_BODY_BYTES")] = Field(default=MIB)
    """Of calls to the node itself; the relay passes bodies of any size."""
    drain_deadline_ms: Annotated[Milliseconds, Variable("POOL_MANAGERD_DRAIN_DEADLINE_MS")] = 30_000
    """How long running tasks have after SIGTERM, or a notice that this machine will be taken."""
    preemption_file: Annotated[Folder | None, Variable("POOL_MANAGERD_PREEMPTION_FILE")] = None
    """A file whose appearance is that notice."""

    runtime_dir: Annotated[Folder, Variable("POOL_MANAGERD_RUNTIME_DIR")] = Field(
        default_factory=_default_runtime_dir
    )
    """Where handoff files lie."""
    watch_interval_ms: Annotated[Milliseconds, Variable("POOL_MANAGERD_WATCH_INTERVAL_MS")] = 1000
    auto_delete_handoff: Annotated[bool, Variable("POOL_MANAGERD_AUTO_DELETE_HANDOFF")] = False
    gpu_discovery_interval_ms: Annotated[
        Milliseconds, Variable("POOL_MANAGERD_GPU_DISCOVERY_INTERVAL_MS")
    ] = 10_000
    device_policy: Annotated[DevicePolicy, Variable("LLORCH_DEVICE_POLICY")] = DevicePolicy.GPU
    keep_engines: Annotated[bool, Variable("LLORCH_KEEP_ENGINES")] = False

    api_token: Annotated[SecretStr | None, Variable("LLORCH_API_TOKEN")] = None
    """What opens this node, and what it shows to control planes; several, the first is shown."""
    api_token_file: Annotated[Folder | None, Variable("LLORCH_API_TOKEN_FILE")] = None
    """The same in a file, which is read again when it changes."""
    auth_optional: Annotated[bool, Variable("LLORCH_AUTH_OPTIONAL")] = Field(
        default_factory=_default_auth_optional
    )
    """Whether callers on loopback need no token."""
    insecure_plaintext: Annotated[bool, Variable("LLORCH_INSECURE_PLAINTEXT")] = False
    log_format: Annotated[Literal["auto", "console", "json"], Variable("LLORCH_LOG_FORMAT")] = (
        "auto"
    )
    """`auto`: console on a terminal, json elsewhere."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], Variable("LLORCH_LOG_LEVEL")
    ] = "info"

    @property
    def has_token(self) -> bool:
        """Whether there is anything with which to come in."""
        return self.api_token is not None or self.api_token_file is not None

    @property
    def exposure(self) -> Exposure:
        """How the node is about to listen."""
        return Exposure(
            bind_host=self.bind_addr.host,
            has_credentials=self.has_token,
            has_tls=self.has_tls,
            is_cloud=self.profile is Profile.CLOUD,
            insecure_plaintext=self.insecure_plaintext,
        )

    @property
    def has_tls(self) -> bool:
        """Whether the node listens with TLS."""
        return self.tls_cert is not None

    @model_validator(mode="after")
    def _not_open_to_everybody(self) -> Self:
        problems = list(self.exposure.problems())
        if not (self.has_token or self.auth_optional) and self.bind_addr.is_loopback:
            problems.append(
                "no token is configured and none is optional, so nobody could come in: set "
                "LLORCH_API_TOKEN, or LLORCH_AUTH_OPTIONAL=true for callers of this machine"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @field_validator("api_token")
    @classmethod
    def _usable_tokens(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                TokenSet.parse(value.get_secret_value())
            except BadSecret as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("labels")
    @classmethod
    def _label_lengths(cls, value: dict[str, str]) -> dict[str, str]:
        return dict(_LABELS.validate_python(value))

    @field_validator("orchestratord_urls")
    @classmethod
    def _base_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_base_url(url) for url in value))

    @field_validator("pools")
    @classmethod
    def _unique_pools(cls, value: tuple[PoolConfig, ...]) -> tuple[PoolConfig, ...]:
        ids = [pool.id for pool in value]
        if twice := sorted({pool_id for pool_id in ids if ids.count(pool_id) > 1}):
            raise ValueError(f"pool id {twice[0]!r} is given twice")
        return value


def _contradictions(given: Layer) -> Iterable[str]:
    """Find settings that are each right and cannot stand together, or cannot stand alone."""
    if "api_token" in given and "api_token_file" in given:
        yield (
            f"api_token ({given['api_token'].origin}) and api_token_file "
            f"({given['api_token_file'].origin}): keep one of them"
        )
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if one in given and other not in given:
            yield f"{one} ({given[one].origin}): needs {other} as well"


ORCHESTRATORD_KEYS = frozenset(
    {
        *("admission_capacity", "admission_max_bytes", "admission_policy", "allowed_hosts"),
        *("api_keys", "api_keys_file", "artifacts_url", "auto_pull", "batch_max_wait_ms"),
        *("bind_addr", "cors_origins", "decode_idle_timeout_ms", "decode_wall_timeout_ms"),
        *("demo", "event_log_max_bytes", "first_token_timeout_ms", "max_body_bytes"),
        *("metrics_port", "model", "model_aliases", "node_timeout_ms"),
        *("pinning", "placement_scorer", "pool_managers", "pool_managers_dns"),
        *("pool_poll_interval_ms", "queue_max_wait_ms", "retry_budget", "session_max_turns"),
        "session_time_budget_ms",
        *("price_per_1k_tokens", "session_cost_budget", "transcript_prompts", "transcripts"),
        *("session_token_budget", "session_ttl_ms", "shutdown_grace_ms", "task_retention_ms"),
        "trust_proxy_auth",
    }
)
"""What a file that HOME was started with may hold besides: it serves here as it is."""

SCHEMA = Schema(
    program="pool-managerd",
    settings=Settings,
    file_only=frozenset({"pools", "api_token"}),
    secret=frozenset({"api_token"}),
    items={"pools": PoolConfig},
    elsewhere=ORCHESTRATORD_KEYS,
    contradictions=_contradictions,
)
