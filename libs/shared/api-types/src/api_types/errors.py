"""Every error of the client contract: its code, its HTTP status, and the body that carries it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from pool_registry_types import ServiceModel


class ErrorCode(StrEnum):
    """The wire code of an error."""

    INVALID_PARAMS = "INVALID_PARAMS"
    MISSING_TOKEN = "MISSING_TOKEN"
    BAD_TOKEN = "BAD_TOKEN"
    CERT_REQUIRED = "CERT_REQUIRED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    POOL_NOT_FOUND = "POOL_NOT_FOUND"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    ARTIFACT_NOT_FOUND = "ARTIFACT_NOT_FOUND"
    NODE_UNKNOWN = "NODE_UNKNOWN"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    TASK_CONFLICT = "TASK_CONFLICT"
    POOL_BUSY = "POOL_BUSY"
    MODEL_IN_USE = "MODEL_IN_USE"
    AMBIGUOUS_POOL = "AMBIGUOUS_POOL"
    STALE_INCARNATION = "STALE_INCARNATION"
    NODE_ID_CONFLICT = "NODE_ID_CONFLICT"
    EVENTS_EXPIRED = "EVENTS_EXPIRED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    MISDIRECTED_REQUEST = "MISDIRECTED_REQUEST"
    DEADLINE_UNMET = "DEADLINE_UNMET"
    ADMISSION_REJECT = "ADMISSION_REJECT"
    QUEUE_FULL_DROP_LRU = "QUEUE_FULL_DROP_LRU"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    REPLICA_BUSY = "REPLICA_BUSY"
    CANCELED = "CANCELED"
    INTERNAL = "INTERNAL"
    POOL_UNREADY = "POOL_UNREADY"
    POOL_UNAVAILABLE = "POOL_UNAVAILABLE"
    MODEL_NOT_AVAILABLE = "MODEL_NOT_AVAILABLE"
    NODE_UNAVAILABLE = "NODE_UNAVAILABLE"
    REPLICA_EXHAUSTED = "REPLICA_EXHAUSTED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    POOL_DRAINING = "POOL_DRAINING"
    DECODE_TIMEOUT = "DECODE_TIMEOUT"
    WORKER_RESET = "WORKER_RESET"
    DISK_FULL = "DISK_FULL"
    INSUFFICIENT_VRAM = "INSUFFICIENT_VRAM"
    INSUFFICIENT_RAM = "INSUFFICIENT_RAM"


HTTP_STATUS: Mapping[ErrorCode, int] = MappingProxyType(
    {
        ErrorCode.INVALID_PARAMS: 400,
        ErrorCode.MISSING_TOKEN: 401,
        ErrorCode.BAD_TOKEN: 401,
        ErrorCode.CERT_REQUIRED: 401,
        ErrorCode.FORBIDDEN: 403,
        ErrorCode.NOT_FOUND: 404,
        ErrorCode.TASK_NOT_FOUND: 404,
        ErrorCode.SESSION_NOT_FOUND: 404,
        ErrorCode.POOL_NOT_FOUND: 404,
        ErrorCode.MODEL_NOT_FOUND: 404,
        ErrorCode.ARTIFACT_NOT_FOUND: 404,
        ErrorCode.NODE_UNKNOWN: 404,
        ErrorCode.METHOD_NOT_ALLOWED: 405,
        ErrorCode.NOT_ACCEPTABLE: 406,
        ErrorCode.TASK_CONFLICT: 409,
        ErrorCode.POOL_BUSY: 409,
        ErrorCode.MODEL_IN_USE: 409,
        ErrorCode.AMBIGUOUS_POOL: 409,
        ErrorCode.STALE_INCARNATION: 409,
        ErrorCode.NODE_ID_CONFLICT: 409,
        ErrorCode.EVENTS_EXPIRED: 410,
        ErrorCode.PAYLOAD_TOO_LARGE: 413,
        ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
        ErrorCode.MISDIRECTED_REQUEST: 421,
        ErrorCode.DEADLINE_UNMET: 422,
        ErrorCode.ADMISSION_REJECT: 429,
        ErrorCode.QUEUE_FULL_DROP_LRU: 429,
        ErrorCode.BUDGET_EXCEEDED: 429,
        ErrorCode.RATE_LIMITED: 429,
        ErrorCode.REPLICA_BUSY: 429,
        # 499 is nginx's "client closed request"; on the native API a cancel is an `error` frame.
        ErrorCode.CANCELED: 499,
        ErrorCode.INTERNAL: 500,
        ErrorCode.WORKER_RESET: 502,
        ErrorCode.POOL_UNREADY: 503,
        ErrorCode.POOL_UNAVAILABLE: 503,
        ErrorCode.MODEL_NOT_AVAILABLE: 503,
        ErrorCode.NODE_UNAVAILABLE: 503,
        ErrorCode.REPLICA_EXHAUSTED: 503,
        ErrorCode.SHUTTING_DOWN: 503,
        ErrorCode.POOL_DRAINING: 503,
        ErrorCode.DECODE_TIMEOUT: 504,
        ErrorCode.DISK_FULL: 507,
        ErrorCode.INSUFFICIENT_VRAM: 507,
        ErrorCode.INSUFFICIENT_RAM: 507,
    }
)

RETRIABLE: frozenset[ErrorCode] = frozenset(
    {
        ErrorCode.ADMISSION_REJECT,
        ErrorCode.QUEUE_FULL_DROP_LRU,
        ErrorCode.RATE_LIMITED,
        ErrorCode.REPLICA_BUSY,
        ErrorCode.POOL_BUSY,
        ErrorCode.POOL_UNREADY,
        ErrorCode.POOL_UNAVAILABLE,
        ErrorCode.MODEL_NOT_AVAILABLE,
        ErrorCode.NODE_UNAVAILABLE,
        ErrorCode.REPLICA_EXHAUSTED,
        ErrorCode.SHUTTING_DOWN,
        ErrorCode.POOL_DRAINING,
        ErrorCode.DECODE_TIMEOUT,
        ErrorCode.WORKER_RESET,
        ErrorCode.INSUFFICIENT_RAM,
    }
)
"""Codes for which the same request may succeed later, unless the error itself says otherwise."""


class ErrorBody(ServiceModel):
    """The JSON body of every error answer."""

    code: ErrorCode
    message: str
    hint: str | None = None
    retriable: bool
    retry_after_ms: Annotated[int, Field(ge=0)] | None = None
    policy_label: str | None = None
    engine: str | None = None
    pool_id: str | None = None
    candidates: tuple[str, ...] | None = None
    """The names that an ambiguous or unknown one may have meant."""
    correlation_id: str


class ApiError(Exception):
    """An error of the contract, raised anywhere below the edge and mapped to HTTP there.

    `message` says what is wrong with which value and what to do about it. `retriable` defaults to
    what the code usually means.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        hint: str | None = None,
        retriable: bool | None = None,
        retry_after_ms: int | None = None,
        policy_label: str | None = None,
        engine: str | None = None,
        pool_id: str | None = None,
        candidates: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retriable = code in RETRIABLE if retriable is None else retriable
        self.retry_after_ms = retry_after_ms
        self.policy_label = policy_label
        self.engine = engine
        self.pool_id = pool_id
        self.candidates = candidates

    @property
    def status(self) -> int:
        """The HTTP status of this error."""
        return HTTP_STATUS[self.code]

    def body(self, correlation_id: str) -> ErrorBody:
        """Return the body for the wire."""
        return ErrorBody(
            code=self.code,
            message=self.message,
            hint=self.hint,
            retriable=self.retriable,
            retry_after_ms=self.retry_after_ms,
            policy_label=self.policy_label,
            engine=self.engine,
            pool_id=self.pool_id,
            candidates=self.candidates,
            correlation_id=correlation_id,
        )
