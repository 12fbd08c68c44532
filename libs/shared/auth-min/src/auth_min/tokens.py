"""Which secrets are known, and whose they are.

Only digests are kept: a token of any length costs the same comparison, and a dump of the memory
or a traceback shows none.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from auth_min.errors import BadSecret

MIN_SECRET_CHARS = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SECRET = re.compile(r"[!-~]+")
_SEPARATORS = re.compile(r"[\s,]+")
_NOBODY = hashlib.sha256(b"compared with where nothing was presented").digest()


class IdentityKind(StrEnum):
    """By what a caller is known."""

    SERVICE = "service"
    KEY = "key"
    LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls; `name` may be logged and owns what the caller makes."""

    name: str
    kind: IdentityKind

    def __str__(self) -> str:
        return self.name


LOCALHOST = Identity("localhost", IdentityKind.LOCALHOST)
"""The identity that all callers without credentials share."""


def fingerprint(token: str) -> str:
    """Return what a log may say of a token: `token:` and six hexadecimal digits of its digest."""
    return f"token:{_digest(token).hex()[:6]}"


def first_token(text: str) -> str:
    """Return the token to show to others: the first, as a new one is rolled in behind it.

    Raises BadSecret if there is none that can be used.
    """
    for place, secret in _entries(text):
        _check_secret(place, secret)
        return secret
    raise BadSecret("holds no token")


class TokenSet:
    """Secrets that open a door, each with its identity; several, so that one can be rolled in."""

    __slots__ = ("_known",)

    def __init__(self, known: Iterable[tuple[bytes, Identity]] = ()) -> None:
        self._known = tuple(dict(known).items())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read service tokens, separated by commas or white space; raises BadSecret."""
        known = {}
        for place, secret in _entries(text):
            _check_secret(place, secret)
            known[_digest(secret)] = Identity(fingerprint(secret), IdentityKind.SERVICE)
        return cls(known.items())

    @classmethod
    def parse_keys(cls, text: str) -> Self:
        """Read API keys as `name:key`, separated by commas or lines; raises BadSecret."""
        known: dict[bytes, Identity] = {}
        for place, entry in _entries(text):
            name, colon, secret = entry.partition(":")
            if not colon or _NAME.fullmatch(name) is None:
                raise BadSecret(f"{place} is not of the form name:key")
            _check_secret(place, secret)
            if _digest(secret) in known:
                raise BadSecret(f"{place} is the key of another name as well")
            known[_digest(secret)] = Identity(f"key:{name}", IdentityKind.KEY)
        return cls(known.items())

    @classmethod
    def union(cls, sets: Iterable["TokenSet"]) -> Self:
        """Join several sets."""
        return cls(pair for tokens in sets for pair in tokens._known)

    def find(self, presented: str | None) -> Identity | None:
        """Tell whose secret this is, in a time that depends on the number of secrets only."""
        digest = _NOBODY if presented is None else _digest(presented)
        found = None
        for known, identity in self._known:
            if hmac.compare_digest(known, digest):
                found = identity
        return found

    def __iter__(self) -> Iterator[Identity]:
        return (identity for _, identity in self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenSet) and self._known == other._known

    def __hash__(self) -> int:
        return hash(self._known)

    def __repr__(self) -> str:
        return f"TokenSet({', '.join(map(str, self))})"


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Give each entry with a name for it that reveals nothing; `#` begins a comment line."""
    count = 0
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        for entry in filter(None, _SEPARATORS.split(line)):
            count += 1
            yield f"entry {count}", entry


def _check_secret(place: str, secret: str) -> None:
    if len(secret) < MIN_SECRET_CHARS:
        raise BadSecret(
            f"{place} has {len(secret)} characters: at least {MIN_SECRET_CHARS} are needed"
        )
    if _SECRET.fullmatch(secret) is None:
        raise BadSecret(f"{place} has characters that no header can carry")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
