"""What a source of models must be able to do."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a model as its source tells of it."""

    name: str
    """Relative to the model's folder; a plain path."""
    locator: str
    """What the source needs to find it again."""
    size_bytes: int | None = None
    digest: str | None = None
    """`sha256:` and 64 digits, if the source vouches for it."""


@dataclass(frozen=True, slots=True)
class Body:
    """A file's content from an offset to its end."""

    offset_bytes: int
    """0 although more was asked for: the file changed, or the source knows no ranges."""
    total_bytes: int | None
    """Of the whole file."""
    validator: str | None
    """Tells later whether the file is still the same one."""
    chunks: AsyncIterator[bytes]


class Source(Protocol):
    """One reference, opened. All calls raise InterruptedFetchError where a repeat may help."""

    async def files(self) -> tuple[RemoteFile, ...]:
        """The files of the model; at least one."""
        ...

    def open(
        self, file: RemoteFile, *, offset_bytes: int, validator: str | None
    ) -> AbstractAsyncContextManager[Body]:
        """The content from an offset, if the validator still holds; else from 0."""
        ...
