"""Which node a query means, where there is one only."""

from api_types import ApiError, ErrorCode


def check_own(own: str, named: str | None) -> None:
    """Refuse the name of another node. Raises ApiError."""
    if named not in (None, own):
        raise ApiError(ErrorCode.NODE_UNKNOWN, f"this machine is {own}; no node {named} is known")
