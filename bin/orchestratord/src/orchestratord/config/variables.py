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

NOT_SERVED_YET = frozenset(
    {
        *("ORCHD_POOL_MANAGERS", "POOL_MANAGERD_URLS", "POOL_MANAGERD_URL"),
        *("ORCHD_POOL_MANAGERS_DNS", "ORCHD_STATE_URL"),
        *("ORCHD_API_KEYS", "ORCHD_API_KEYS_FILE", "ORCHD_OIDC_ISSUER", "ORCHD_OIDC_AUDIENCE"),
        *("ORCHD_TLS_CERT", "ORCHD_TLS_KEY", "ORCHD_TLS_CA"),
        *("ORCHD_TRANSCRIPTS", "ORCHD_TRANSCRIPT_PROMPTS"),
    }
)
"""Settings of the contract that this version cannot honour: set, they are an error.

Silence would be worse than refusal: whoever sets ORCHD_API_KEYS believes the door is locked.
"""

OF_OTHERS = frozenset(
    {
        *("ORCHD_POOL_POLL_INTERVAL_MS", "ORCHESTRATORD_POOL_POLL_INTERVAL_MS"),
        *("ORCHD_NODE_TIMEOUT_MS", "ORCHESTRATORD_NODE_TIMEOUT_SECS"),
        *("POOL_MANAGERD_BIND_ADDR", "POOL_MANAGERD_ADDR", "POOL_MANAGERD_ADVERTISE_URL"),
        *("POOL_MANAGERD_ORCHESTRATORD_URL", "ORCHESTRATORD_URL"),
        *("POOL_MANAGERD_HEARTBEAT_INTERVAL_MS", "ORCHESTRATORD_HEARTBEAT_INTERVAL_SECS"),
        *("POOL_MANAGERD_ORCHESTRATORD_CALLBACK_URL", "POOL_MANAGERD_MODEL_CACHE_MAX_BYTES"),
        *("POOL_MANAGERD_TLS_CERT", "POOL_MANAGERD_TLS_KEY", "POOL_MANAGERD_TLS_CA"),
        *("POOL_MANAGERD_GC_MAX_DISK_USAGE_PERCENT", "POOL_MANAGERD_GC_MIN_FREE_GB"),
        *("POOL_MANAGERD_GC_RETIRED_AFTER_DAYS", "POOL_MANAGERD_GC_RECENT_DAYS"),
        "POOL_MANAGERD_GC_INTERVAL_MS",
        *("LLORCH_AUTH_OPTIONAL", "LLORCH_TRUST_PROXY_AUTH", "LLORCH_INSECURE_PLAINTEXT"),
        *("LLORCH_URL", "LLORCH_API_KEY", CONFIG_FILE_VARIABLE),
        *("ENGINE_PROVISIONER_HANDOFF_DIR", "ENGINE_PROVISIONER_CACHE_DIR"),
        "ENGINE_PROVISIONER_GPU_MASK",
    }
)
"""Variables that another of our programs, or the CLOUD profile, reads: nothing to say here."""


def is_service_link(name: str, value: str) -> bool:
    """Tell Kubernetes' service links (`ORCHD_PORT=tcp://…`) from settings."""
    return (
        value.startswith(("tcp://", "udp://", "sctp://"))
        or name.endswith("_SERVICE_HOST")
        or "_SERVICE_PORT" in name
        or ("_PORT_" in name and name.endswith(("_ADDR", "_PORT", "_PROTO")))
    )
