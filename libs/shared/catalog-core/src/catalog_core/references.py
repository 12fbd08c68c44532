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
from catalog_core.locations import (
    HubLocation,
    Location,
    ObjectLocation,
    RegistryLocation,
    WebLocation,
)
from catalog_core.shards import shard_stem

MODEL_ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ID_LENGTH = 63
_REFERENCE_LENGTH = 4096


class RefScheme(StrEnum):
    """Where a model comes from."""

    FILE = "file"
    HF = "hf"
    HTTPS = "https"
    HTTP = "http"
    S3 = "s3"
    GS = "gs"
    AZ = "az"
    OCI = "oci"


_SCHEMES = frozenset(scheme.value for scheme in RefScheme)


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
            found = cls(RefScheme(scheme), _plain_location(text, scheme, location))
        elif "/" in scheme or text.startswith(("~", ".")) or text.endswith(".gguf"):
            # Two slashes at the start would be read as a URL's once the scheme stands before them.
            location = f"/{text.lstrip('/')}" if text.startswith("//") else text
            found = cls(RefScheme.FILE, location)
        else:
            known = ", ".join(f"{each}:" for each in RefScheme)
            raise ModelReferenceError(
                text, f"neither a path to a .gguf file nor one of the schemes {known}"
            )
        if not found.location:
            raise ModelReferenceError(text, "nothing follows the scheme")
        return found

    @property
    def place(self) -> Location:
        """What the reference names at its source; not for `file:`."""
        return _place(self.scheme, self.location)

    @property
    def name(self) -> str:
        """The name to take an id from."""
        if self.scheme is RefScheme.FILE:
            return self.location.rstrip("/").rpartition("/")[2]
        return self.place.name

    def resolve(self, base: Path) -> Path:
        """The absolute path a `file:` reference means; a relative one starts at `base`.

        Links are not followed: the name a user gave is the one to show, and to take the id from.
        """
        if self.scheme is not RefScheme.FILE:
            raise ModelReferenceError(str(self), "only a file: reference is a path on this disk")
        try:
            return Path(os.path.normpath(base.absolute() / Path(self.location).expanduser()))
        except (OSError, RuntimeError) as error:
            raise ModelReferenceError(str(self), f"the path cannot be resolved: {error}") from None

    def __str__(self) -> str:
        return f"{self.scheme}:{self.location}"


def derive_model_id(file_name: str, taken: Collection[str] = ()) -> str:
    """A readable id from a file's name, made unique among `taken` by a number at its end."""
    ascii_name = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9._-]+", "-", shard_stem(ascii_name.lower()).removesuffix(".gguf"))
    plain = words.strip("-._")[:_ID_LENGTH] or "model"
    if plain not in taken:
        return plain
    numbered = (f"{plain[: _ID_LENGTH - len(tail)]}{tail}" for tail in (f"-{n}" for n in count(2)))
    return next(each for each in numbered if each not in taken)


def _plain_location(text: str, scheme: str, location: str) -> str:
    """The location in its one written form, so that one source has one reference."""
    if not location:
        raise ModelReferenceError(text, "nothing follows the scheme")
    if scheme == RefScheme.FILE:
        return _file_location(text, location)
    try:
        _place(RefScheme(scheme), location)
    except ValueError as error:
        raise ModelReferenceError(text, str(error)) from None
    is_web = scheme in {RefScheme.HTTP, RefScheme.HTTPS}
    return location if is_web else location.removeprefix("//")


def _place(scheme: RefScheme, location: str) -> Location:
    match scheme:
        case RefScheme.HTTP | RefScheme.HTTPS:
            return WebLocation.parse(scheme, location)
        case RefScheme.HF:
            return HubLocation.parse(location)
        case RefScheme.S3 | RefScheme.GS | RefScheme.AZ:
            return ObjectLocation.parse(location)
        case RefScheme.OCI:
            return RegistryLocation.parse(location)
        case RefScheme.FILE:
            msg = "a path on this disk has no source"
            raise ValueError(msg)


def _file_location(text: str, location: str) -> str:
    if not location.startswith("//"):
        return location
    try:
        url = urlsplit(text)
    except ValueError:
        url = None
    if url is None or url.netloc not in {"", "localhost"}:
        raise ModelReferenceError(text, "a file: URL names a path on this machine, no host")
    return unquote(url.path)
