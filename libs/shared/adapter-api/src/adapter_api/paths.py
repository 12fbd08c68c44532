"""Which paths of an engine's API are used, as data: read by the adapters and by the node's relay.

A path that is not listed does not exist for the relay. One that generates is a lease: it carries
`X-Llorch-Task` and is itself the claim on a slot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TASK_HEADER = "X-Llorch-Task"
"""`{task_id}/{attempt}`, on every generating request."""


@dataclass(frozen=True, slots=True)
class EnginePath:
    """One route of an engine kind, below the engine's base URL."""

    method: str
    path: str
    generates: bool = False


_OPENAI_PATHS = (
    EnginePath("GET", "/v1/models"),
    EnginePath("POST", "/v1/completions", generates=True),
    EnginePath("POST", "/v1/chat/completions", generates=True),
    EnginePath("POST", "/v1/embeddings", generates=True),
    EnginePath("POST", "/v1/rerank", generates=True),
)

ENGINE_PATHS: Mapping[str, tuple[EnginePath, ...]] = MappingProxyType(
    {
        "llamacpp": (
            EnginePath("GET", "/health"),
            EnginePath("GET", "/props"),
            EnginePath("GET", "/slots"),
            EnginePath("GET", "/metrics"),
            EnginePath("POST", "/tokenize"),
            EnginePath("POST", "/detokenize"),
            EnginePath("POST", "/apply-template"),
            EnginePath("POST", "/completion", generates=True),
            EnginePath("POST", "/v1/chat/completions", generates=True),
            EnginePath("POST", "/v1/embeddings", generates=True),
            EnginePath("POST", "/v1/rerank", generates=True),
        ),
        "openai": (
            EnginePath("GET", "/health"),
            EnginePath("GET", "/slots"),
            EnginePath("POST", "/tokenize"),
            *_OPENAI_PATHS,
        ),
        "vllm": (
            EnginePath("GET", "/health"),
            EnginePath("GET", "/version"),
            EnginePath("GET", "/metrics"),
            EnginePath("POST", "/tokenize"),
            *_OPENAI_PATHS,
        ),
    }
)


def find_path(engine: str, method: str, path: str) -> EnginePath | None:
    """The listed route, or None: compared exactly, after decoding and without a query."""
    for known in ENGINE_PATHS.get(engine, ()):
        if known.path == path and known.method == method:
            return known
    return None
