"""The records of the catalog."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ModelId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelState(StrEnum):
    """A retired model stays on disk but is offered to no new task."""

    ACTIVE = "Active"
    RETIRED = "Retired"


class GgufHeader(_Record):
    """What a GGUF file says about itself; None: it does not say."""

    version: Count
    architecture: str
    name: str | None = None
    quantization: str
    size_bytes: Count
    tensor_count: Count
    tensor_bytes: Count
    parameter_count: Count
    context_length: Count | None = None
    embedding_length: Count | None = None
    block_count: Count | None = None
    head_count: Count | None = None
    """The largest, where blocks differ."""
    head_count_kv: Count | None = None
    vocab_size: Count | None = None
    has_chat_template: bool = False


class FileStamp(_Record):
    """Tells cheaply whether a file may have changed since its digest was taken."""

    size_bytes: Count
    mtime_ns: int
    inode: Count

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """The stamp of the file as it is now."""
        return cls.from_stat(path.stat())

    @classmethod
    def from_stat(cls, stat: os.stat_result) -> "FileStamp":
        """The stamp in a stat result."""
        return cls(size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, inode=stat.st_ino)


class ModelEntry(_Record):
    """A model on this disk."""

    id: ModelId
    reference: str
    path: Path
    digest: Digest
    size_bytes: Count
    header: GgufHeader
    stamp: FileStamp
    state: ModelState = ModelState.ACTIVE
    pinned: bool = False
    created_ms: Count
    last_used_ms: Count


class EngineEntry(_Record):
    """An engine that a provisioner made available here."""

    engine: str
    version: str
    build_ref: str
    """Names one build: a package and its version, a container image, a source revision."""
    digest: Digest | None = None
    flags: tuple[str, ...] = ()


class Verdict(StrEnum):
    """What a look at a model's file found."""

    INTACT = "intact"
    CHANGED = "changed"
    MISSING = "missing"


class Verification(_Record):
    """The outcome of `Catalog.verify`."""

    verdict: Verdict
    expected: Digest
    found: Digest | None = None
