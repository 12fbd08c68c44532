"""What can go wrong while a model is brought here, as errors of the client contract."""

from pathlib import Path

from api_types import ApiError, ErrorCode


class FetchError(ApiError):
    """Base of the errors of fetching; those of the catalog stand beside it."""


class NetworkRefusedError(FetchError):
    """The network policy does not permit the connection; `rule` says by which of its rules."""

    def __init__(self, place: str, rule: str, why: str) -> None:
        super().__init__(
            ErrorCode.FORBIDDEN,
            f"the network policy refuses {place}: {why} (rule {rule!r})",
            hint="LLORCH_NETWORK_POLICY decides; or bring the file here and name it by file:",
            policy_label=rule,
        )
        self.place = place
        self.rule = rule


class SourceError(FetchError):
    """The source did not give the file; `retriable` says whether a later call may succeed."""

    def __init__(
        self,
        place: str,
        reason: str,
        *,
        retriable: bool,
        hint: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        code = ErrorCode.MODEL_NOT_AVAILABLE if retriable else ErrorCode.INVALID_PARAMS
        super().__init__(
            code,
            f"{place}: {reason}",
            hint=hint,
            retriable=retriable,
            retry_after_ms=retry_after_ms,
        )
        self.place = place
        self.reason = reason


class UnauthorizedError(SourceError):
    """The source wants other credentials than it was shown."""

    def __init__(self, place: str, reason: str) -> None:
        hint = "Configure credentials for this source, or accept the model's terms there."
        super().__init__(place, reason, retriable=False, hint=hint)


class SourceMissingError(FetchError):
    """The source is there, but not the model; `candidates` are what it has instead."""

    def __init__(self, place: str, reason: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(
            ErrorCode.MODEL_NOT_FOUND, f"{place}: {reason}", candidates=candidates or None
        )
        self.place = place


class DiskFullError(FetchError):
    """The disk has no room for the model and what must stay free beside it."""

    def __init__(self, path: Path, *, needed_bytes: int, free_bytes: int, keep_bytes: int) -> None:
        super().__init__(
            ErrorCode.DISK_FULL,
            f"the disk of {path} has {free_bytes} bytes free; {needed_bytes} more are needed and "
            f"{keep_bytes} must stay free: {needed_bytes + keep_bytes - free_bytes} are missing",
            hint="Delete models (llorch gc), or keep them on a larger disk.",
            retriable=True,
        )
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes
        self.keep_bytes = keep_bytes


class StoreError(FetchError):
    """The folder where models are kept cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            ErrorCode.INTERNAL,
            f"models cannot be kept in {path}: {reason}",
            hint="Check the folder and its permissions.",
            retriable=True,
        )
        self.path = path
