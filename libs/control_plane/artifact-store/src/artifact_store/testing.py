"""The store without a disk, and the suite that any store must pass."""

import asyncio
import hashlib
import json
import math
from collections.abc import Awaitable, Iterable
from typing import Any

from artifact_store.canonical import (
    artifact_id_of,
    canonical_bytes,
    checked_tags,
    parse_artifact_id,
)
from artifact_store.claims import Claim, newest_first, view, with_claim
from artifact_store.errors import (
    ArtifactNotFoundError,
    ArtifactStoreError,
    ArtifactTooLargeError,
    InvalidArtifactError,
)
from artifact_store.ports import ArtifactStore
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


class ArtifactStoreContract:
    """What every store must do.

    Subclass it in a test module and give it a fixture `store`: an empty one with `LIMITS`.
    """

    LIMITS = ArtifactLimits(max_content_bytes=1000, max_depth=5, max_tags=2, max_tag_chars=10)

    async def test_the_same_content_has_the_same_id_however_it_is_written(
        self, store: ArtifactStore
    ) -> None:
        """Order of keys, tuples and repetition make no difference; any change of a value does."""
        first = await store.put({"b": [1, "é"], "a": None}, owner="x", now_ms=1)
        again = await store.put({"a": None, "b": (1, "é")}, owner="x", now_ms=2)
        other = await store.put({"a": None, "b": [1, "e"]}, owner="x", now_ms=3)
        digest = hashlib.sha256('{"a":null,"b":[1,"é"]}'.encode()).hexdigest()
        assert first.artifact_id == f"sha256:{digest}"
        assert again == first
        assert other.artifact_id != first.artifact_id

    async def test_what_was_stored_is_given_back(self, store: ArtifactStore) -> None:
        """Content and description come back as they went in."""
        content: JsonValue = {"text": "ü\n\u2028", "n": [1, 2.5, True, None, 10**30], "": {}}
        info = await store.put(content, owner="x", now_ms=7, tags=["b", "a", "b"])
        found = await store.get(info.artifact_id, owner="x")
        assert found.content == content
        assert found.info == info
        assert (info.tags, info.owners, info.created_ms) == (("a", "b"), ("x",), 7)

    async def test_an_artifact_belongs_to_all_who_stored_it_and_to_nobody_else(
        self, store: ArtifactStore
    ) -> None:
        """Each owner sees their own tags and time; without an owner everything is seen."""
        info = await store.put("shared", owner="x", now_ms=5, tags=["mine"])
        await _refused(ArtifactNotFoundError, store.get(info.artifact_id, owner="y"))
        await store.put("shared", owner="y", now_ms=9, tags=["yours"])
        seen = (await store.get(info.artifact_id, owner="y")).info
        assert (seen.owners, seen.tags, seen.created_ms) == (("y",), ("yours",), 9)
        everything = (await store.get(info.artifact_id)).info
        assert (everything.owners, everything.tags) == (("x", "y"), ("mine", "yours"))
        assert everything.created_ms == 5

    async def test_tags_are_added_by_storing_again(self, store: ArtifactStore) -> None:
        """An owner's tags gather, and their first time stays."""
        await store.put(1, owner="x", now_ms=5, tags=["a"])
        info = await store.put(1, owner="x", now_ms=9, tags=["b"])
        assert (info.tags, info.created_ms) == (("a", "b"), 5)

    async def test_a_listing_is_by_tag_and_owner_newest_first(self, store: ArtifactStore) -> None:
        """It stops at its limit and shows nothing of others."""
        for number in range(4):
            tags = ["even"] if number % 2 == 0 else []
            await store.put(number, owner="x", now_ms=number, tags=tags)
        await store.put(99, owner="y", now_ms=99, tags=["even"])
        assert [info.created_ms for info in await store.list(owner="x")] == [3, 2, 1, 0]
        assert [info.created_ms for info in await store.list(owner="x", limit=2)] == [3, 2]
        assert [info.created_ms for info in await store.list(tag="even", owner="x")] == [2, 0]
        assert [info.created_ms for info in await store.list(tag="even")] == [99, 2, 0]
        assert await store.list(tag="odd") == ()
        assert await store.list(owner="z") == ()

    async def test_a_tag_of_another_owner_finds_nothing(self, store: ArtifactStore) -> None:
        """Sharing the content does not share the tags."""
        await store.put(1, owner="x", now_ms=1, tags=["secret"])
        await store.put(1, owner="y", now_ms=2)
        assert await store.list(tag="secret", owner="y") == ()

    async def test_a_text_that_is_no_id_is_not_found(self, store: ArtifactStore) -> None:
        """It is refused by its form, before it could become a path or a key."""
        digits = "a" * 64
        for text in ("", "sha256:", "../../etc/passwd", digits, f"SHA256:{digits}", f"{digits}\n"):
            await _refused(ArtifactNotFoundError, store.get(text))
            await _refused(ArtifactNotFoundError, store.get(f"sha256:{text}/.."))

    async def test_an_id_that_nobody_stored_is_not_found(self, store: ArtifactStore) -> None:
        """Also while other artifacts are there."""
        await store.put(1, owner="x", now_ms=1)
        await _refused(ArtifactNotFoundError, store.get("sha256:" + "0" * 64))

    async def test_what_is_not_json_is_refused(self, store: ArtifactStore) -> None:
        """Nothing of it is stored."""
        too_deep = [[[[[[1]]]]]]
        wrong: list[Any] = [math.nan, math.inf, "\ud800", {1: "a"}, {"a": b"x"}, {1, 2}, too_deep]
        for content in wrong:
            await _refused(InvalidArtifactError, store.put(content, owner="x", now_ms=1))
        assert await store.list() == ()

    async def test_content_over_the_limit_is_refused(self, store: ArtifactStore) -> None:
        """The limit is on the canonical form, quotes included."""
        await store.put("x" * 998, owner="x", now_ms=1)
        await _refused(ArtifactTooLargeError, store.put("x" * 999, owner="x", now_ms=1))

    async def test_tags_over_the_limits_are_refused(self, store: ArtifactStore) -> None:
        """Too many, empty, too long, not printable."""
        for tags in (["a", "b", "c"], [""], ["x" * 11], ["a\nb"]):
            await _refused(InvalidArtifactError, store.put(1, owner="x", now_ms=1, tags=tags))

    async def test_any_printable_tag_is_only_a_tag(self, store: ArtifactStore) -> None:
        """It finds its artifact and names no place in the storage."""
        for content, tag in enumerate(("../x", "a/b", "..", "ü", " ")):
            info = await store.put(content, owner="x", now_ms=1, tags=[tag])
            assert await store.list(tag=tag) == (info,)

    async def test_writers_at_the_same_time_lose_nothing(self, store: ArtifactStore) -> None:
        """Twenty owners of one artifact are twenty owners."""
        await asyncio.gather(
            *(store.put("one", owner=f"o{number}", now_ms=number) for number in range(20))
        )
        (info,) = await store.list()
        assert len(info.owners) == 20


async def _refused(error: type[ArtifactStoreError], call: Awaitable[object]) -> None:
    try:
        await call
    except error:
        return
    raise AssertionError(f"The store took what it must refuse with {error.__name__}.")
