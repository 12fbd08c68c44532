"""The store without a disk, and the suite that any store must pass."""

import json
from collections.abc import Iterable

from artifact_store.canonical import (
    artifact_id_of,
    canonical_bytes,
    checked_tags,
    parse_artifact_id,
)
from artifact_store.claims import Claim, newest_first, view, with_claim
from artifact_store.errors import ArtifactNotFoundError
from artifact_store.types import Artifact, ArtifactId, ArtifactInfo, ArtifactLimits, JsonValue


class MemoryArtifactStore:
    """Keeps artifacts as long as the process lives."""

    def __init__(self, limits: ArtifactLimits | None = None) -> None:
        self._limits = limits or ArtifactLimits()
        self._data: dict[ArtifactId, bytes] = {}
        self._claims: dict[ArtifactId, dict[str, Claim]] = {}

    async def put(
        self, content: JsonValue, *, owner: str, now_ms: int, tags: Iterable[str] = ()
    ) -> ArtifactInfo:
        """Store a value; see `ArtifactStore.put`."""
        data = canonical_bytes(content, self._limits)
        taken = checked_tags(tags, self._limits)
        artifact_id = artifact_id_of(data)
        claims = with_claim(self._claims.get(artifact_id, {}), owner, taken, now_ms)
        self._data[artifact_id] = data
        self._claims[artifact_id] = claims
        return self._seen(artifact_id, owner)

    async def get(self, artifact_id: str, *, owner: str | None = None) -> Artifact:
        """Read one; see `ArtifactStore.get`."""
        known = parse_artifact_id(artifact_id)
        return Artifact(self._seen(known, owner), json.loads(self._data[known]))

    async def list(
        self, *, tag: str | None = None, owner: str | None = None, limit: int = 100
    ) -> tuple[ArtifactInfo, ...]:
        """List the newest; see `ArtifactStore.list`."""
        seen = (
            view(artifact_id, len(self._data[artifact_id]), claims, owner)
            for artifact_id, claims in self._claims.items()
        )
        found = [info for info in seen if info and (tag is None or tag in info.tags)]
        return tuple(sorted(found, key=newest_first)[:limit])

    def _seen(self, artifact_id: ArtifactId, owner: str | None) -> ArtifactInfo:
        data = self._data.get(artifact_id, b"")
        info = view(artifact_id, len(data), self._claims.get(artifact_id, {}), owner)
        if info is None:
            raise ArtifactNotFoundError(f"There is no artifact {artifact_id}.")
        return info
