"""What a status that is not 200 means, the same for every engine kind."""

from adapter_api import (
    AdapterError,
    EngineFailed,
    EngineOverloaded,
    EngineProtocolError,
    EngineRefused,
    EngineUnreachable,
)

_REFUSALS = frozenset({400, 413, 415, 422, 501})


def error_of_status(
    status: int, told: str | None = None, *, retry_after_ms: int | None = None
) -> AdapterError:
    """The error for a response; `told` is the engine's own word, already fit for a client."""
    reason = f": {told}" if told else ""
    if status in _REFUSALS:
        return EngineRefused(f"the engine refused the request{reason}")
    if status in (429, 503):
        return EngineOverloaded(
            f"the engine has no room now{reason}", retry_after_ms=retry_after_ms
        )
    if status in (401, 403):
        return EngineFailed("the engine did not accept our key")
    if status == 502:  # No engine says so: it is its node's relay, which cannot reach it.
        return EngineUnreachable(f"the node cannot reach its engine{reason}")
    if status >= 500:
        return EngineFailed(f"the engine failed with status {status}{reason}")
    return EngineProtocolError(f"the engine answered with the unexpected status {status}")
