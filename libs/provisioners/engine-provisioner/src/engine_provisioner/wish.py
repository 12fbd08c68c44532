"""What a pool wants of one engine process."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pool_registry_types import HandoffModel

LLAMACPP = "llamacpp"
VLLM = "vllm"
KEY_VARIABLES = {LLAMACPP: "LLAMA_API_KEY", VLLM: "VLLM_API_KEY"}
"""The engines that are provided, each with the variable in which it looks for its key."""


class EngineMode(StrEnum):
    """Where an engine comes from."""

    PACKAGE = "package"
    BINARY = "binary"
    SOURCE = "source"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class EngineWish:
    """What a pool wants of one engine process."""

    pool_id: str
    replica_id: str
    model: HandoffModel
    slots: int
    ctx_tokens: int
    """Of one slot."""
    on_gpu: bool
    devices: tuple[str, ...] = ()
    """GPU indexes or UUIDs; empty means all."""
    tensor_split: tuple[float, ...] = ()
    """Shares of the devices, in their order; empty leaves it to the engine."""
    threads: int | None = None
    embeddings: bool = False
    rerank: bool = False
    prompt_cache: bool = True
    mode: EngineMode = EngineMode.PACKAGE
    engine: str = LLAMACPP
    executable: Path | None = None
    """The `llama-server` of mode `binary` (None: the one on the PATH), or the one built."""
    executable_sha256: str | None = None
    url: str | None = None
    """Where the executable is fetched from; the checksum is that of what is fetched."""
    image: str | None = None
    """Of mode `container`, by digest; its entry point is the engine's server."""
    runtime: str | None = None
    """`podman` or `docker`; None: the first that is there."""
    tree: Path | None = None
    """The source tree of mode `source`."""
    version: str | None = None
    """Of mode `package`: makes an environment of its own; None: what is installed here."""
    index: str | None = None
    """A package index that is asked before the public one, such as one with CUDA wheels."""
    python: Path | None = None
    """The interpreter of that environment, once it is made."""
    lane: int = 0
    """Of two engines of one replica each has its own: it names their files apart."""
