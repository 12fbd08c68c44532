"""Digests of files, as `sha256:` and 64 hexadecimal digits."""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from catalog_core.errors import ModelReferenceError

_CHUNK_BYTES = 4 * 1024 * 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def file_digest(path: Path, *, on_chunk: Callable[[int], None] | None = None) -> str:
    """The file's digest, read in chunks; `on_chunk` gets the bytes read so far and may raise."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    done_bytes = 0
    with path.open("rb", buffering=0) as file:
        while (length := file.readinto(buffer)) > 0:
            digest.update(buffer[:length])
            done_bytes += length
            if on_chunk is not None:
                on_chunk(done_bytes)
    return f"sha256:{digest.hexdigest()}"


def digest_of_files(digests: Mapping[str, str]) -> str:
    """The digest of a model: of its one file, or over the list of its files' digests.

    The list is what `sha256sum` prints for the sorted names, relative to the model's folder: so
    `sha256sum FILES… | sha256sum` gives the same.
    """
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = (f"{digests[name].removeprefix('sha256:')}  {name}\n" for name in sorted(digests))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def parse_digest(text: str) -> str:
    """The digest in its one written form; 64 digits without the prefix are accepted."""
    lower = text.strip().lower()
    full = lower if lower.startswith("sha256:") else f"sha256:{lower}"
    if not _DIGEST.fullmatch(full):
        raise ModelReferenceError(text, "a digest is sha256: and 64 hexadecimal digits")
    return full
