"""The port behind which artifacts are kept."""

from collections.abc import Iterable
from typing import Protocol

from artifact_store.types import Artifact, ArtifactInfo, JsonValue


class ArtifactStore(Protocol):
    """Keeps JSON values under the digest of their content.

    An artifact belongs to every identity that stored it. With `owner`, reading sees what that
    identity stored, with its own tags only; with None, as scope `admin` does, all of it.
    """

    async def put(
        self, content: JsonValue, *, owner: str, now_ms: int, tags: Iterable[str] = ()
    ) -> ArtifactInfo:
        """Store a value; the same value gives the same id, and `tags` are added to the owner's."""
        ...

    async def get(self, artifact_id: str, *, owner: str | None = None) -> Artifact:
        """Read one; ArtifactNotFoundError for any string that is not an id seen by `owner`."""
        ...

    async def list(
        self, *, tag: str | None = None, owner: str | None = None, limit: int = 100
    ) -> tuple[ArtifactInfo, ...]:
        """List the newest artifacts, optionally with one tag."""
        ...
