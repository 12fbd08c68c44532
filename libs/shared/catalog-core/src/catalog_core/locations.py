"""What a reference names at its source, taken apart."""

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit

_HUB = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:@(?P<revision>[A-Za-z0-9][\w.-]*))?(?:/(?P<path>.+))?",
    re.ASCII,
)
_REGISTRY = re.compile(
    r"(?P<registry>(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:]+\])(?::[0-9]{1,5})?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_BUCKET = re.compile(r"(?P<bucket>[A-Za-z0-9][\w.-]*)/(?P<key>.+)", re.ASCII)


class Location(Protocol):
    """What every kind of source can tell about itself."""

    @property
    def name(self) -> str:
        """The last part: a file's name, or that of a repository or folder."""


@dataclass(frozen=True, slots=True)
class WebLocation:
    """One file at an http: or https: address."""

    url: str

    @classmethod
    def parse(cls, scheme: str, text: str) -> "WebLocation":
        """Read `//host/path`; a ValueError says what is wrong."""
        url = f"{scheme}:{text}"
        parts = urlsplit(url)
        if not text.startswith("//") or not parts.hostname:
            msg = f"it must be {scheme}://host/path"
            raise ValueError(msg)
        if parts.username is not None or parts.password is not None:
            msg = "a name and password do not belong into a reference, which is stored and shown"
            raise ValueError(msg)
        _ = parts.port  # Raises if it is no port.
        location = cls(url)
        require_plain_path(location.name)
        return location

    @property
    def name(self) -> str:
        """The last part of the path."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class HubLocation:
    """A model repository of a Hugging Face hub, or one file in it: `org/repo[@revision][/path]`."""

    repository: str
    revision: str | None
    path: str | None

    @classmethod
    def parse(cls, text: str) -> "HubLocation":
        """Read it; a ValueError says what is wrong."""
        found = _HUB.fullmatch(text.removesuffix("/"))
        if found is None:
            msg = "it must be hf:org/repo, hf:org/repo@revision or hf:org/repo/path/file.gguf"
            raise ValueError(msg)
        if found["path"] is not None:
            require_plain_path(found["path"])
        return cls(found["repository"], found["revision"], found["path"])

    @property
    def name(self) -> str:
        """The file's name, or the repository's."""
        return (self.path or self.repository).rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ObjectLocation:
    """An object in a bucket, or, if the key ends with a slash, all objects below it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "ObjectLocation":
        """Read `bucket/key`; a ValueError says what is wrong."""
        found = _BUCKET.fullmatch(text.removeprefix("//"))
        if found is None:
            msg = "it must be a bucket, a slash and a key"
            raise ValueError(msg)
        require_plain_path(found["key"].removesuffix("/"))
        return cls(found["bucket"], found["key"])

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.removesuffix("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RegistryLocation:
    """An artifact in an OCI registry: `host[:port]/repository[:tag][@digest]`."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> "RegistryLocation":
        """Read it; a ValueError says what is wrong."""
        found = _REGISTRY.fullmatch(text.removeprefix("//"))
        if found is None:
            msg = "it must be oci:host/repository, with :tag or @sha256:… at its end"
            raise ValueError(msg)
        return cls(found["registry"], found["repository"], found["tag"], found["digest"])

    @property
    def reference(self) -> str:
        """What a registry is asked for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def name(self) -> str:
        """The repository's name, with its tag."""
        repository = self.repository.rpartition("/")[2]
        return f"{repository}-{self.tag}" if self.tag else repository


def require_plain_path(path: str) -> None:
    """Raise ValueError unless the path leads from a folder to a file below it, and only so.

    Sources name files; what they say must never leave the folder that a fetch made.
    """
    parts = path.split("/")
    if (
        not path.isprintable()
        or "\\" in path
        or any(part in {"", ".", ".."} or len(part.encode()) > 255 for part in parts)
    ):
        msg = f"{path[:200]!r} is no plain relative path"
        raise ValueError(msg)
