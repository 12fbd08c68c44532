"""Model references and model ids, read without touching the disk."""

import os
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from urllib.parse import unquote, urlsplit

from catalog_core.errors import ModelReferenceError

MODEL_ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ID_LENGTH = 63
_REFERENCE_LENGTH = 4096


class RefScheme(StrEnum):
    """Where a model comes from."""

    FILE = "file"
    HF = "hf"
    HTTPS = "https"
    S3 = "s3"
    OCI = "oci"


_SCHEMES = frozenset(scheme.value for scheme in RefScheme)
FETCHED_SCHEMES = frozenset({RefScheme.FILE})
"""The schemes that this version brings models from."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A source of a model: `file:` and a path, or a scheme and what it names there."""

    scheme: RefScheme
    location: str

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Read `scheme:location`, or a path if the text has a slash or ends with `.gguf`."""
        if not text or len(text) > _REFERENCE_LENGTH or not text.isprintable():
            raise ModelReferenceError(
                text, f"it must be 1 to {_REFERENCE_LENGTH} printable characters"
            )
        scheme, colon, location = text.partition(":")
        if colon and scheme in _SCHEMES:
            found = cls(RefScheme(scheme), _file_location(text, location, scheme=scheme))
        elif "/" in scheme or text.startswith(("~", ".")) or text.endswith(".gguf"):
            found = cls(RefScheme.FILE, text)
        else:
            known = ", ".join(f"{each}:" for each in RefScheme)
            raise ModelReferenceError(
                text, f"neither a path to a .gguf file nor one of the schemes {known}"
            )
        if not found.location:
            raise ModelReferenceError(text, "nothing follows the scheme")
        return found

    def require_fetched(self) -> None:
        """Refuse a scheme that this version knows but does not fetch from."""
        if self.scheme not in FETCHED_SCHEMES:
            fetched = ", ".join(f"{scheme}:" for scheme in sorted(FETCHED_SCHEMES))
            raise ModelReferenceError(
                str(self),
                f"this version does not fetch from {self.scheme}:, only from {fetched} "
                "Download the model and name its file.",
            )

    def resolve(self, base: Path) -> Path:
        """The absolute path a `file:` reference means; a relative one starts at `base`.

        Links are not followed: the name a user gave is the one to show, and to take the id from.
        """
        self.require_fetched()
        try:
            return Path(os.path.normpath(base.absolute() / Path(self.location).expanduser()))
        except (OSError, RuntimeError) as error:
            raise ModelReferenceError(str(self), f"the path cannot be resolved: {error}") from None

    def __str__(self) -> str:
        return f"{self.scheme}:{self.location}"


def derive_model_id(file_name: str, taken: Collection[str] = ()) -> str:
    """A readable id from a file's name, made unique among `taken` by a number at its end."""
    ascii_name = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9._-]+", "-", ascii_name.lower().removesuffix(".gguf"))
    plain = words.strip("-._")[:_ID_LENGTH] or "model"
    if plain not in taken:
        return plain
    numbered = (f"{plain[: _ID_LENGTH - len(tail)]}{tail}" for tail in (f"-{n}" for n in count(2)))
    return next(each for each in numbered if each not in taken)


def _file_location(text: str, location: str, *, scheme: str) -> str:
    if scheme != RefScheme.FILE or not location.startswith("//"):
        return location
    try:
        url = urlsplit(text)
    except ValueError:
        url = None
    if url is None or url.netloc not in {"", "localhost"}:
        raise ModelReferenceError(text, "a file: URL names a path on this machine, no host")
    return unquote(url.path)
