"""What can go wrong between an adapter and its engine, and whose fault it is."""

from enum import StrEnum


class Fault(StrEnum):
    """How the breaker counts a failure: only `worker` speaks against the replica."""

    WORKER = "worker"
    CLIENT = "client"
    BACKPRESSURE = "backpressure"


class AdapterError(Exception):
    """Base of all adapter errors.

    `code` is the wire code of the contract; `retriable` says whether another replica, or the same
    one later, may succeed; `message` is fit for a client: no URL, no key, no prompt.
    """

    code = "INTERNAL"
    fault = Fault.WORKER
    retriable = False

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_ms = retry_after_ms


class EngineUnreachable(AdapterError):
    """No connection, or it died before any byte of the answer."""

    code = "WORKER_RESET"
    retriable = True


class NotBegun(EngineUnreachable):
    """The connection died before any byte of the answer; on one that was kept, of the request too.

    A call that was given such a connection may be made once more, anew.
    """


class EngineReset(AdapterError):
    """The stream broke before its end."""

    code = "WORKER_RESET"
    retriable = True


class EngineTimeout(AdapterError):
    """No first token in time, or silence in the middle."""

    code = "DECODE_TIMEOUT"
    retriable = True


class EngineProtocolError(AdapterError):
    """The engine answered something that its own API does not allow."""

    code = "WORKER_RESET"
    retriable = True


class EngineOverloaded(AdapterError):
    """The engine or its node has no room now (429, or 503 while loading or draining)."""

    code = "REPLICA_BUSY"
    fault = Fault.BACKPRESSURE
    retriable = True


class EngineRefused(AdapterError):
    """The engine refused the request itself: context too long, bad grammar, unknown field."""

    code = "INVALID_PARAMS"
    fault = Fault.CLIENT


class EngineFailed(AdapterError):
    """The engine answered 5xx, or an error inside its stream."""

    code = "WORKER_RESET"
    retriable = True
