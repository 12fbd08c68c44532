"""Secrets and certificates in files, read again when somebody changes them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from auth_min.errors import BadSecret
from auth_min.tokens import TokenSet

T = TypeVar("T")

TokenSource: TypeAlias = Callable[[], TokenSet]
"""Gives the tokens that count now."""

Stamp: TypeAlias = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file does; None if it cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class WatchedFile(Generic[T]):
    """What a file of secrets says now: looks at the file's stamp with each call.

    The first call raises BadSecret. A later reading that fails leaves what was there before, and
    `trouble` says why: a half-written file locks nobody out.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._stamp: Stamp = None
        self._read: T | None = None
        self.trouble: str | None = None

    def __call__(self) -> T:
        """Return what counts now; raises BadSecret at the first call only."""
        stamp = stamp_of(self._path)
        if self._read is not None and stamp == self._stamp:
            return self._read
        # The stamp from before the reading: what is written meanwhile is read at the next call.
        try:
            read = _parsed(self._path, self._parse)
        except BadSecret as error:
            if self._read is None:
                raise
            self.trouble = str(error)
        else:
            self._read, self.trouble = read, None
        self._stamp = stamp
        return self._read


class TokenFile(WatchedFile[TokenSet]):
    """The tokens of a file, or with `TokenSet.parse_keys` its named keys: a `TokenSource`."""

    def __init__(self, path: Path, parse: Callable[[str], TokenSet] = TokenSet.parse) -> None:
        def some(text: str) -> TokenSet:
            tokens = parse(text)
            if not tokens:
                raise BadSecret("holds no token")
            return tokens

        super().__init__(path, some)


def _parsed(path: Path, parse: Callable[[str], T]) -> T:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSecret(f"{path} cannot be read: {error}") from error
    except BadSecret as error:
        raise BadSecret(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True)
class _Fixed:
    tokens: TokenSet

    def __call__(self) -> TokenSet:
        return self.tokens


def fixed(tokens: TokenSet) -> TokenSource:
    """Make a source of tokens that never change."""
    return _Fixed(tokens)


def is_fixed(source: TokenSource) -> bool:
    """Whether it is known that a source's tokens never change."""
    return isinstance(source, _Fixed)


def joined(*sources: TokenSource) -> TokenSource:
    """Make a source of all tokens of several."""

    def all_tokens() -> TokenSet:
        return TokenSet.union(source() for source in sources)

    return all_tokens
