"""Why a model is not staged."""

from typing import ClassVar


class CacheError(Exception):
    """Base of this library's errors."""

    code: ClassVar[str] = "INTERNAL"
    retriable: ClassVar[bool] = False


class NotStaged(CacheError):
    """The cache does not know the model."""

    code = "MODEL_NOT_FOUND"


class CacheTooSmall(CacheError):
    """The model does not fit beside what is pinned or being staged; the text has the numbers."""

    code = "INSUFFICIENT_RAM"
    retriable = True
