"""What a node is told that says something which the registry does not take."""

from typing import TypeVar

from api_types import ApiError, ErrorCode
from service_registry import Refused

_T = TypeVar("_T")


def check_sender(node_id: str, sender: str) -> None:
    """Refuse a message to the path of another node than the one that says it. Raises ApiError."""
    if sender != node_id:
        raise wrong_sender(node_id, sender)


def wrong_sender(node_id: str, sender: str) -> ApiError:
    """Make what such a message is refused with."""
    return ApiError(
        ErrorCode.INVALID_PARAMS,
        f"node_id: the path is that of {node_id}, the message is from {sender}",
    )


def accepted(answer: _T | Refused) -> _T:
    """Return the answer to a message that was taken. Raises ApiError."""
    if isinstance(answer, Refused):
        raise ApiError(ErrorCode(answer.code.value), answer.message)
    return answer
