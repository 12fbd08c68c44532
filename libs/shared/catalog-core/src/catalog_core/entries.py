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


class ModelFormat(StrEnum):
    """How a model's files are laid out."""

    GGUF = "gguf"
    SAFETENSORS = "safetensors"
    """A folder with a config.json, as the Hugging Face hub keeps them."""


class GgufHeader(_Record):
    """What a model says about itself; None: it does not say."""

    version: Count
    """Of the GGUF file; 0: the model is no GGUF file, a config.json told the rest."""
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


class ModelFile(_Record):
    """One of the files of a model."""

    path: Path
    digest: Digest
    stamp: FileStamp


class Verdict(StrEnum):
    """What a look at a model's file found."""

    INTACT = "intact"
    CHANGED = "changed"
    MISSING = "missing"


class LastVerification(_Record):
    """When the model's files were last read against their digests, and what was found."""

    at_ms: Count
    verdict: Verdict


class ModelEntry(_Record):
    """A model on this disk."""

    id: ModelId
    reference: str
    path: Path
    """What an engine is given: the file, the first of several parts, or the folder."""
    digest: Digest
    """Of the file; of a model of several files the one that `digest_of_files` defines."""
    size_bytes: Count
    """Of all files."""
    header: GgufHeader
    stamp: FileStamp
    state: ModelState = ModelState.ACTIVE
    pinned: bool = False
    created_ms: Count
    last_used_ms: Count
    format: ModelFormat = ModelFormat.GGUF
    files: tuple[ModelFile, ...] = ()
    """Of a model of several files; empty: there is only the one at `path`."""
    store_path: Path | None = None
    """The folder that a fetch made for this model alone, removed with it; None: the files are
    somebody else's and are never deleted."""
    retired_ms: Count | None = None
    """Since when it is Retired, as far as that is known."""
    last_verification: LastVerification | None = None

    def all_files(self) -> tuple[ModelFile, ...]:
        """Every file of the model, at least one."""
        return self.files or (ModelFile(path=self.path, digest=self.digest, stamp=self.stamp),)


class Removal(_Record):
    """A model that left the catalog and whose files are about to be deleted."""

    entry: ModelEntry
    trash: Path
    """Where its folder is moved, beside where it was."""
    is_detached: bool = False
    """Whether what lies at the folder's old place is none of this removal's business any more."""


class EngineEntry(_Record):
    """An engine that a provisioner made available here."""

    engine: str
    version: str
    build_ref: str
    """Names one build: a package and its version, a container image, a source revision."""
    digest: Digest | None = None
    flags: tuple[str, ...] = ()


class Verification(_Record):
    """The outcome of `Catalog.verify`."""

    verdict: Verdict
    expected: Digest
    found: Digest | None = None
    bad_paths: tuple[Path, ...] = ()
    """The files that are missing or changed."""
