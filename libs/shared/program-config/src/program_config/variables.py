"""The names that our programs read from the environment."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alias:
    """An older spelling that is still accepted; `convert` turns its value into today's."""

    name: str
    convert: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class Variable:
    """The environment variable of a setting; `file_variant`: NAME_FILE may name a file with it."""

    name: str
    aliases: tuple[Alias, ...] = ()
    file_variant: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which the environment may hold this setting."""
        own = (self.name, *(alias.name for alias in self.aliases))
        return (*own, f"{self.name}_FILE") if self.file_variant else own


PREFIXES = ("ORCHD_", "ORCHESTRATORD_", "POOL_MANAGERD_", "ENGINE_PROVISIONER_", "LLORCH_")

CONFIG_FILE_VARIABLE = "LLORCH_CONFIG"

CONTRACT_VARIABLES = frozenset(
    {
        *("ORCHD_PROFILE", "ORCHESTRATORD_CLOUD_PROFILE"),
        *("ORCHD_BIND_ADDR", "ORCHESTRATORD_ADDR", "ORCHD_ADDR"),
        *("ORCHD_POOL_MANAGERS", "POOL_MANAGERD_URLS", "POOL_MANAGERD_URL"),
        *("ORCHD_POOL_MANAGERS_DNS", "ORCHD_STATE_URL", "ORCHD_ARTIFACTS_URL"),
        *("ORCHD_POOL_POLL_INTERVAL_MS", "ORCHESTRATORD_POOL_POLL_INTERVAL_MS"),
        *("ORCHD_NODE_TIMEOUT_MS", "ORCHESTRATORD_NODE_TIMEOUT_SECS"),
        *("ORCHD_ADMISSION_CAPACITY", "ORCHD_ADMISSION_POLICY", "ORCHD_ADMISSION_MAX_BYTES"),
        *("ORCHD_API_KEYS", "ORCHD_API_KEYS_FILE", "ORCHD_OIDC_ISSUER", "ORCHD_OIDC_AUDIENCE"),
        *("ORCHD_TLS_CERT", "ORCHD_TLS_KEY", "ORCHD_TLS_CA"),
        *("ORCHD_SESSION_TTL_MS", "ORCHD_SESSION_MAX_TURNS", "ORCHD_PRICE_PER_1K_TOKENS"),
        *("ORCHD_SESSION_TOKEN_BUDGET", "ORCHD_SESSION_TIME_BUDGET_MS"),
        "ORCHD_SESSION_COST_BUDGET",
        *("ORCHD_DECODE_IDLE_TIMEOUT_MS", "ORCHD_DECODE_WALL_TIMEOUT_MS"),
        *("ORCHD_FIRST_TOKEN_TIMEOUT_MS", "ORCHD_QUEUE_MAX_WAIT_MS", "ORCHD_BATCH_MAX_WAIT_MS"),
        *("ORCHD_TASK_RETENTION_MS", "ORCHD_EVENT_LOG_MAX_BYTES", "ORCHD_MAX_BODY_BYTES"),
        *("ORCHD_ALLOWED_HOSTS", "ORCHD_CORS_ORIGINS", "ORCHD_PINNING", "ORCHD_RETRY_BUDGET"),
        *("ORCHD_MODEL_ALIASES", "ORCHD_TRANSCRIPTS", "ORCHD_TRANSCRIPT_PROMPTS"),
        "ORCHD_SHUTDOWN_GRACE_MS",
        *("POOL_MANAGERD_BIND_ADDR", "POOL_MANAGERD_ADDR", "POOL_MANAGERD_ADVERTISE_URL"),
        *("POOL_MANAGERD_NODE_ID", "POOL_MANAGERD_MACHINE_ID", "POOL_MANAGERD_LABELS"),
        *("POOL_MANAGERD_ORCHESTRATORD_URL", "ORCHESTRATORD_URL"),
        *("POOL_MANAGERD_HEARTBEAT_INTERVAL_MS", "ORCHESTRATORD_HEARTBEAT_INTERVAL_SECS"),
        *("POOL_MANAGERD_ORCHESTRATORD_CALLBACK_URL", "POOL_MANAGERD_MODEL_CACHE_MAX_BYTES"),
        *("POOL_MANAGERD_RUNTIME_DIR", "POOL_MANAGERD_WATCH_INTERVAL_MS"),
        *("POOL_MANAGERD_AUTO_DELETE_HANDOFF", "POOL_MANAGERD_GPU_DISCOVERY_INTERVAL_MS"),
        *("POOL_MANAGERD_TLS_CERT", "POOL_MANAGERD_TLS_KEY", "POOL_MANAGERD_TLS_CA"),
        *("POOL_MANAGERD_GC_MAX_DISK_USAGE_PERCENT", "POOL_MANAGERD_GC_MIN_FREE_GB"),
        *("POOL_MANAGERD_GC_RETIRED_AFTER_DAYS", "POOL_MANAGERD_GC_RECENT_DAYS"),
        *("POOL_MANAGERD_GC_INTERVAL_MS", "POOL_MANAGERD_PREEMPTION_FILE"),
        *("POOL_MANAGERD_DRAIN_DEADLINE_MS", "POOL_MANAGERD_MAX_BODY_BYTES"),
        *("LLORCH_HOME", "LLORCH_PROFILE", "LLORCH_API_TOKEN", "LLORCH_API_TOKEN_FILE"),
        *("LLORCH_DEVICE_POLICY", "LLORCH_NETWORK_POLICY", "LLORCH_AUTO_PULL"),
        *("LLORCH_KEEP_ENGINES", "LLORCH_LOG_FORMAT", "LLORCH_LOG_LEVEL"),
        *("LLORCH_AUTH_OPTIONAL", "LLORCH_TRUST_PROXY_AUTH", "LLORCH_INSECURE_PLAINTEXT"),
        *("LLORCH_URL", "LLORCH_API_KEY", CONFIG_FILE_VARIABLE),
        *("ENGINE_PROVISIONER_HANDOFF_DIR", "ENGINE_PROVISIONER_CACHE_DIR"),
        "ENGINE_PROVISIONER_GPU_MASK",
    }
)
"""Every variable that some program of ours reads: the one that does not says nothing about it."""


def is_service_link(name: str, value: str) -> bool:
    """Tell Kubernetes' service links (`ORCHD_PORT=tcp://…`) from settings."""
    return (
        value.startswith(("tcp://", "udp://", "sctp://"))
        or name.endswith("_SERVICE_HOST")
        or "_SERVICE_PORT" in name
        or ("_PORT_" in name and name.endswith(("_ADDR", "_PORT", "_PROTO")))
    )
