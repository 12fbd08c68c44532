"""Who stored an artifact, when, and under which tags."""

from collections.abc import Mapping
from dataclasses import dataclass

from artifact_store.types import ArtifactId, ArtifactInfo


@dataclass(frozen=True, slots=True)
class Claim:
    """One identity's share in an artifact."""

    created_ms: int
    tags: frozenset[str] = frozenset()


Claims = Mapping[str, Claim]
"""All shares in one artifact, by owner."""


def with_claim(claims: Claims, owner: str, tags: frozenset[str], now_ms: int) -> dict[str, Claim]:
    """Add an owner, or tags to what the owner already has; the first time stays."""
    before = claims.get(owner, Claim(now_ms))
    return {**claims, owner: Claim(before.created_ms, before.tags | tags)}


def view(
    artifact_id: ArtifactId, size_bytes: int, claims: Claims, owner: str | None
) -> ArtifactInfo | None:
    """Show an artifact as `owner` may see it: None where it is not theirs."""
    seen = claims if owner is None else {owner: claims[owner]} if owner in claims else {}
    if not seen:
        return None
    return ArtifactInfo(
        artifact_id=artifact_id,
        size_bytes=size_bytes,
        created_ms=min(claim.created_ms for claim in seen.values()),
        tags=tuple(sorted(frozenset().union(*(claim.tags for claim in seen.values())))),
        owners=tuple(sorted(seen)),
    )


def newest_first(info: ArtifactInfo) -> tuple[int, str]:
    """Sort key of a listing; the id makes the order of equals stable."""
    return -info.created_ms, info.artifact_id
