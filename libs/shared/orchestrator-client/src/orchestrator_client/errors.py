"""Everything that this client raises.

`retriable` says whether the same call may succeed later; the client has then already tried as
often as its `RetryPolicy` allows.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

_RETRIABLE_STATUS = frozenset({429, 502, 503, 504})


class LlamaOrchError(Exception):
    """The base of all errors of this package."""

    retriable: bool = False
    retry_after_ms: int | None = None


class Unreachable(LlamaOrchError):
    """No connection could be made: nothing was sent."""

    retriable = True


class ConnectionLost(LlamaOrchError):
    """The connection broke or fell silent; the server may have done what was asked."""

    retriable = True


class TotalTimeout(LlamaOrchError):
    """`Timeouts.total_s` passed before the task's last frame. The task itself goes on."""


class ProtocolError(LlamaOrchError):
    """The peer did not keep to the contract."""


class StreamAlreadyEnded(LlamaOrchError):
    """There is nothing after the event id to resume from; ask for the task's status."""


class TaskRestarted(LlamaOrchError):
    """Another worker began the text anew, so pieces that were already given out are void."""


class TaskFailed(LlamaOrchError):
    """The task ended with an `error` frame; `text` is what had arrived until then."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retriable: bool,
        retry_after_ms: int | None = None,
        task_id: UUID | None = None,
        text: str = "",
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retriable = retriable
        self.retry_after_ms = retry_after_ms
        self.task_id = task_id
        self.text = text


class ApiStatusError(LlamaOrchError):
    """The server refused the call."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int,
        retriable: bool,
        hint: str | None = None,
        retry_after_ms: int | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.retriable = retriable
        self.hint = hint
        self.retry_after_ms = retry_after_ms
        self.correlation_id = correlation_id


class TaskNotFound(ApiStatusError):
    """404: no such task, or it belongs to another identity or to an earlier server process."""


class TaskConflict(ApiStatusError):
    """409: the task id is taken by a request with another body."""


class EventsExpired(ApiStatusError):
    """410: the events asked for have left the server's log."""


_BY_CODE: Mapping[str, type[ApiStatusError]] = {
    "TASK_NOT_FOUND": TaskNotFound,
    "TASK_CONFLICT": TaskConflict,
    "EVENTS_EXPIRED": EventsExpired,
}


def status_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiStatusError:
    """Make the typed error of a refusal, also of one that a proxy in between wrote."""
    fields = _error_fields(body)
    code = str(fields.get("code", f"HTTP_{status}"))
    return _BY_CODE.get(code, ApiStatusError)(
        code,
        str(fields.get("message", f"the server answered with status {status}")),
        status=status,
        retriable=bool(fields.get("retriable", status in _RETRIABLE_STATUS)),
        hint=fields.get("hint"),
        retry_after_ms=_retry_after_ms(fields, headers),
        correlation_id=fields.get("correlation_id") or headers.get("X-Correlation-Id"),
    )


def _error_fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _retry_after_ms(fields: Mapping[str, Any], headers: Mapping[str, str]) -> int | None:
    asked = fields.get("retry_after_ms")
    if isinstance(asked, int):
        return asked
    for name, unit_ms in (("X-Backoff-Ms", 1), ("Retry-After", 1000)):
        if (value := headers.get(name, "")).isdecimal():
            return int(value) * unit_ms
    return None
