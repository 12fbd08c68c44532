"""What can go wrong with an artifact, each with a stable code."""

from typing import ClassVar


class ArtifactStoreError(Exception):
    """Any failure of an artifact store."""

    code: ClassVar[str] = "INTERNAL"
    retriable: ClassVar[bool] = False


class InvalidArtifactError(ArtifactStoreError):
    """The caller's content, tags or owner cannot be stored; the message says which and why."""

    code = "INVALID_PARAMS"


class ArtifactTooLargeError(ArtifactStoreError):
    """The canonical content is over the limit."""

    code = "PAYLOAD_TOO_LARGE"


class ArtifactNotFoundError(ArtifactStoreError):
    """No such artifact, or none of this identity: the two look alike on purpose."""

    code = "ARTIFACT_NOT_FOUND"


class ArtifactCorruptError(ArtifactStoreError):
    """What the store holds under an id is not what the id says; storing it again repairs it."""


class StoreFullError(ArtifactStoreError):
    """The disk is full."""

    code = "DISK_FULL"
    retriable = True


class StoreUnavailableError(ArtifactStoreError):
    """The storage refuses to be read or written."""

    retriable = True
