"""The handoff file: how a provisioner tells a pool that an engine is there."""

from typing import Annotated

from pydantic import Field, StringConstraints

from node_types import ByteCount, Identifier, ServiceModel
from pool_registry_types.pools import Count, Digest

HANDOFF_SCHEMA = 1


class HandoffModel(ServiceModel):
    """The model that the engine has loaded."""

    id: Identifier
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    digest: Digest | None = None
    size_bytes: ByteCount


class HandoffPayload(ServiceModel):
    """The content of `RUNTIME_DIR/{pool_id}-{replica_id}.json`.

    The content names pool and replica, never the file name. `pid` may be trusted only by a
    reader with the same `boot_id` and `pid_ns`, and only while the process with that pid was
    started at `pid_start_ticks`; everybody else asks the URL.
    """

    schema_version: Annotated[int, Field(ge=1, alias="schema")] = HANDOFF_SCHEMA
    pool_id: Identifier
    replica_id: Identifier
    engine: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    engine_version: Annotated[str, StringConstraints(max_length=128)]
    url: Annotated[
        str, StringConstraints(pattern=r"^http://(127\.0\.0\.1|\[::1\]|localhost):[0-9]{1,5}$")
    ]
    device_mask: str | None = None
    slots: Annotated[int, Field(ge=1)]
    pid: Annotated[int, Field(ge=1)]
    ctx_max: Count
    """Tokens of context of one slot."""
    model: HandoffModel
    flags: tuple[str, ...] = ()
    created_ms: Count
    boot_id: str | None = None
    pid_start_ticks: Count | None = None
    pid_ns: str | None = None
    engine_key: str | None = None
    """The engine's own API key; the reason why the file has mode 0600."""
    desired_generation: Count | None = None
    """The wish (`DesiredModel`) that is answered by this; None where engines need no wishes."""
    desired_error: str | None = None
    """Why that wish could not be fulfilled: the engine before it serves on."""


class DesiredModel(ServiceModel):
    """The content of `RUNTIME_DIR/desired/{pool_id}.json`: what a pool wants of the provisioner.

    The answer is `desired_generation` in the pool's handoff files, which rises to that of the wish
    when it has been fulfilled or has failed.
    """

    generation: Annotated[int, Field(ge=1)]
    """Rises with every wish, also with one for the same model."""
    model_ref: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
