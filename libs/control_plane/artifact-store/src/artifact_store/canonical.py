"""The one form in which a JSON value is stored, and the id that follows from it."""

import hashlib
import json
import math
import re
from collections.abc import Iterable

from artifact_store.errors import ArtifactNotFoundError, ArtifactTooLargeError, InvalidArtifactError
from artifact_store.types import ArtifactId, ArtifactLimits, JsonValue

_ID = re.compile(r"sha256:[0-9a-f]{64}")
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def canonical_bytes(content: JsonValue, limits: ArtifactLimits) -> bytes:
    """Write sorted keys, no white space, UTF-8; InvalidArtifactError names what is not JSON."""
    _check(content, limits.max_depth)
    try:
        data = _encode(content).encode()
    except ValueError as error:
        raise InvalidArtifactError(f"The content has no JSON form in UTF-8: {error}.") from error
    if len(data) > limits.max_content_bytes:
        raise ArtifactTooLargeError(
            f"The content takes {len(data)} bytes; the limit is {limits.max_content_bytes}."
        )
    return data


def artifact_id_of(data: bytes) -> ArtifactId:
    """Name canonical content."""
    return ArtifactId(f"sha256:{hashlib.sha256(data).hexdigest()}")


def parse_artifact_id(text: str) -> ArtifactId:
    """Take only what can be an id, so that no text from a client ever becomes a path."""
    if _ID.fullmatch(text) is None:
        raise ArtifactNotFoundError(f"{text[:80]!r} is not the id of an artifact.")
    return ArtifactId(text)


def checked_tags(tags: Iterable[str], limits: ArtifactLimits) -> frozenset[str]:
    """Take tags within the limits."""
    taken = frozenset(tags)
    if len(taken) > limits.max_tags:
        raise InvalidArtifactError(f"{len(taken)} tags; at most {limits.max_tags} are taken.")
    for tag in taken:
        if not 0 < len(tag) <= limits.max_tag_chars or not tag.isprintable():
            raise InvalidArtifactError(
                f"The tag {tag[:80]!r} must be 1 to {limits.max_tag_chars} printable characters."
            )
    return taken


def _check(content: JsonValue, max_depth: int) -> None:
    """Refuse what is not JSON, or nested too deep; iterative, since depth is the caller's."""
    waiting: list[tuple[object, int]] = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        if value is None or isinstance(value, str | int):
            continue
        if isinstance(value, float):
            if not math.isfinite(value):
                raise InvalidArtifactError(f"The content holds {value}, which JSON does not have.")
            continue
        if depth >= max_depth:
            raise InvalidArtifactError(f"The content is nested deeper than {max_depth} levels.")
        if isinstance(value, dict):
            if any(not isinstance(key, str) for key in value):
                raise InvalidArtifactError("The content has a key that is not a string.")
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list | tuple):
            waiting.extend((item, depth + 1) for item in value)
        else:
            raise InvalidArtifactError(
                f"The content holds a {type(value).__name__}, which JSON does not have."
            )
