"""What can go wrong with an artifact, each with a stable code."""

from typing import ClassVar

from api_types import ErrorCode


class ArtifactStoreError(Exception):
    """Any failure of an artifact store."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    retriable: ClassVar[bool] = False


class InvalidArtifactError(ArtifactStoreError):
    """The caller's content, tags or owner cannot be stored; the message says which and why."""

    code = ErrorCode.INVALID_PARAMS


class ArtifactTooLargeError(ArtifactStoreError):
    """The canonical content is over the limit."""

    code = ErrorCode.PAYLOAD_TOO_LARGE


class ArtifactNotFoundError(ArtifactStoreError):
    """No such artifact, or none of this identity: the two look alike on purpose."""

    code = ErrorCode.ARTIFACT_NOT_FOUND


class ArtifactCorruptError(ArtifactStoreError):
    """What the store holds under an id is not what the id says; storing it again repairs it."""


class StoreFullError(ArtifactStoreError):
    """The disk is full."""

    code = ErrorCode.DISK_FULL
    retriable = True


class StoreUnavailableError(ArtifactStoreError):
    """The storage refuses to be read or written."""

    retriable = True
