"""Digests of files, as `sha256:` and 64 hexadecimal digits."""

import hashlib
import re
from collections.abc import Callable
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


def parse_digest(text: str) -> str:
    """The digest in its one written form; 64 digits without the prefix are accepted."""
    lower = text.strip().lower()
    full = lower if lower.startswith("sha256:") else f"sha256:{lower}"
    if not _DIGEST.fullmatch(full):
        raise ModelReferenceError(text, "a digest is sha256: and 64 hexadecimal digits")
    return full
