"""Content-addressed artifacts and transcripts."""

from artifact_store.errors import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    ArtifactStoreError,
    ArtifactTooLargeError,
    InvalidArtifactError,
    StoreFullError,
    StoreUnavailableError,
)
from artifact_store.local import LocalArtifactStore
from artifact_store.ports import ArtifactStore
from artifact_store.types import Artifact, ArtifactId, ArtifactInfo, ArtifactLimits, JsonValue

__all__ = [
    "Artifact",
    "ArtifactCorruptError",
    "ArtifactId",
    "ArtifactInfo",
    "ArtifactLimits",
    "ArtifactNotFoundError",
    "ArtifactStore",
    "ArtifactStoreError",
    "ArtifactTooLargeError",
    "InvalidArtifactError",
    "JsonValue",
    "LocalArtifactStore",
    "StoreFullError",
    "StoreUnavailableError",
]
