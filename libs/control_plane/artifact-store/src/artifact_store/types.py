"""What an artifact is, and how much of it is taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NewType, TypeAlias

ArtifactId = NewType("ArtifactId", str)
"""`sha256:` and 64 hexadecimal digits, of the canonical content."""

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """One artifact without its content, as one identity (or, for `admin`, everybody) sees it."""

    artifact_id: ArtifactId
    size_bytes: int
    created_ms: int
    """When the first of `owners` stored it."""
    tags: tuple[str, ...]
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact with its content."""

    info: ArtifactInfo
    content: JsonValue


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """What a store refuses to take."""

    max_content_bytes: int = 16 * 1024 * 1024
    max_depth: int = 64
    max_tags: int = 16
    max_tag_chars: int = 128
