"""What can go wrong with models on this disk, as errors of the client contract."""

from pathlib import Path

from api_types import ApiError, ErrorCode


class CatalogError(ApiError):
    """Base of all errors of this library."""


class ModelReferenceError(CatalogError):
    """The reference cannot be read, or names a source that this version does not fetch from."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(ErrorCode.INVALID_PARAMS, f"model reference {reference[:200]!r}: {reason}")
        self.reference = reference


class ModelFileError(CatalogError):
    """The file is no model that can be served: what is wrong, at which byte, what to do."""

    def __init__(
        self,
        path: Path | None,
        reason: str,
        *,
        offset: int | None = None,
        advice: str = "Fetch or convert the file again.",
        retriable: bool = False,
    ) -> None:
        at = "" if offset is None else f" (at byte {offset})"
        super().__init__(
            ErrorCode.INVALID_PARAMS,
            f"model file {path or '<bytes>'}: {reason}{at}. {advice}",
            retriable=retriable,
        )
        self.path = path
        self.reason = reason
        self.offset = offset


class DigestMismatchError(CatalogError):
    """The file's content is not the one that was asked for."""

    def __init__(self, path: Path, *, expected: str, found: str) -> None:
        super().__init__(
            ErrorCode.INVALID_PARAMS,
            f"model file {path}: its digest is {found}, expected was {expected}. "
            "Fetch the file again, or correct the expected digest.",
        )
        self.path = path
        self.expected = expected
        self.found = found


class ModelUnknownError(CatalogError):
    """No entry bears this id."""

    def __init__(self, model_id: str, near: tuple[str, ...]) -> None:
        hint = f"Did you mean {', '.join(near)}?" if near else None
        super().__init__(
            ErrorCode.MODEL_NOT_FOUND,
            f"model {model_id[:200]!r} is not in the catalog",
            hint=hint,
            candidates=near or None,
        )
        self.model_id = model_id


class ModelPinnedError(CatalogError):
    """A pinned entry is not deleted."""

    def __init__(self, model_id: str) -> None:
        super().__init__(
            ErrorCode.MODEL_IN_USE, f"model {model_id!r} is pinned. Unpin it before deleting it."
        )
        self.model_id = model_id


class CatalogStoreError(CatalogError):
    """The catalog on disk cannot be used just now, or not by this version."""

    def __init__(self, path: Path, reason: str, *, retriable: bool) -> None:
        super().__init__(ErrorCode.INTERNAL, f"catalog {path}: {reason}", retriable=retriable)
        self.path = path
