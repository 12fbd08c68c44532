"""How a failed attempt is told to a client, and whether the task may be tried again."""

from adapter_api import AdapterError, EngineTimeout, Fault
from api_types import ApiError, ErrorCode

CANCELED = "the task was canceled"


def told(error: AdapterError, *, engine: str | None, pool_id: str | None) -> ApiError:
    """Return the client's view of an adapter's error."""
    return ApiError(
        ErrorCode(error.code),
        error.message,
        retriable=error.retriable,
        retry_after_ms=error.retry_after_ms,
        engine=engine,
        pool_id=pool_id,
    )


def may_try_again(error: AdapterError) -> bool:
    """Whether another attempt may go better: a lost worker or one without room.

    A request that the engine refused is refused everywhere; one that ran into its time limit has
    used up its time.
    """
    return error.fault is not Fault.CLIENT and not isinstance(error, EngineTimeout)


def canceled() -> ApiError:
    """Return the end of a task that its client did not want any more."""
    return ApiError(ErrorCode.CANCELED, CANCELED, retriable=False)


def shutting_down() -> ApiError:
    """Return the answer of a daemon that takes no new task and ends what waits."""
    return ApiError(
        ErrorCode.SHUTTING_DOWN,
        "orchestratord is shutting down",
        hint="submit the task again once it is back, or to another instance",
        retry_after_ms=5_000,
    )


def deadline_passed(where: str) -> ApiError:
    """Return the end of a task whose time was up."""
    return ApiError(
        ErrorCode.DEADLINE_UNMET,
        f"the deadline passed while the task was {where}",
        hint="give a larger deadline_ms or fewer max_tokens",
        retriable=False,
    )


def deadline_out_of_reach(deadline_ms: int) -> ApiError:
    """Return the refusal of a task that cannot end in time even if all goes well."""
    return ApiError(
        ErrorCode.DEADLINE_UNMET,
        f"deadline_ms {deadline_ms} cannot be met: even the fastest tenth of recent tasks, "
        "behind the queue as it is, would end later",
        hint="give a larger deadline_ms or fewer expected_tokens, or come back later",
        retriable=False,
    )


def wall_limit(limit_ms: int) -> ApiError:
    """Return the end of a task that ran too long."""
    return ApiError(
        ErrorCode.DECODE_TIMEOUT,
        f"the task ran longer than the limit of {limit_ms} ms",
        hint="give a deadline_ms, which replaces this limit, or fewer max_tokens",
        retriable=False,
    )


def waited_too_long(limit_ms: int) -> ApiError:
    """Return the end of a task for which no slot became free."""
    return ApiError(
        ErrorCode.POOL_UNAVAILABLE, f"no pool had a free slot within {limit_ms} ms of waiting"
    )


def drained(pool_id: str | None) -> ApiError:
    """Return the end of a running task whose pool had to be empty by a deadline."""
    return ApiError(
        ErrorCode.POOL_UNAVAILABLE,
        f"pool {pool_id} was drained and its deadline has passed",
        hint="submit the task again",
        pool_id=pool_id,
    )


def exhausted(lost: int, last: ApiError) -> ApiError:
    """Return the end of a task that lost one worker after another."""
    return ApiError(
        ErrorCode.REPLICA_EXHAUSTED,
        f"{lost} attempts failed before the first token, the last with {last.code.value}: "
        f"{last.message}",
        engine=last.engine,
        pool_id=last.pool_id,
    )


def internal() -> ApiError:
    """Return the end of a task that ran into a bug of ours; the log has the rest."""
    return ApiError(ErrorCode.INTERNAL, "an internal error ended the task", retriable=False)
