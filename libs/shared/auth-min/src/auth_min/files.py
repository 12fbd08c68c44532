"""Secrets and certificates in files, read again when somebody changes them."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from auth_min.errors import BadSecret
from auth_min.tokens import TokenSet

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


class TokenFile:
    """The tokens of a file: a `TokenSource` that looks at the file's stamp with each call.

    The first reading raises BadSecret. A later one that fails leaves the tokens as they were,
    and `trouble` says why: a half-written file locks nobody out.
    """

    def __init__(self, path: Path, parse: Callable[[str], TokenSet] = TokenSet.parse) -> None:
        self._path = path
        self._parse = parse
        self._stamp: Stamp = None
        self._tokens: TokenSet | None = None
        self.trouble: str | None = None

    def __call__(self) -> TokenSet:
        """Return the tokens that count now; raises BadSecret at the first call only."""
        stamp = stamp_of(self._path)
        if self._tokens is not None and stamp == self._stamp:
            return self._tokens
        # The stamp from before the reading: what is written meanwhile is read at the next call.
        try:
            tokens = self._read()
        except BadSecret as error:
            if self._tokens is None:
                raise
            self.trouble = str(error)
        else:
            self._tokens, self.trouble = tokens, None
        self._stamp = stamp
        return self._tokens

    def _read(self) -> TokenSet:
        try:
            tokens = self._parse(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise BadSecret(f"{self._path} cannot be read: {error}") from error
        except BadSecret as error:
            raise BadSecret(f"{self._path}: {error}") from None
        if not len(tokens):
            raise BadSecret(f"{self._path} holds no token")
        return tokens


def fixed(tokens: TokenSet) -> TokenSource:
    """Make a source of tokens that never change."""
    return lambda: tokens


def joined(*sources: TokenSource) -> TokenSource:
    """Make a source of all tokens of several."""

    def all_tokens() -> TokenSet:
        return TokenSet.union(source() for source in sources)

    return all_tokens
