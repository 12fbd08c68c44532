"""Who may call a node: whoever has the service token, and no web page."""

from collections.abc import Callable, Mapping

from aiohttp import hdrs, web

from api_types import ApiError, ErrorCode
from auth_min import LOCALHOST, Door, Identity, Refusal
from http_shell import Doors
from pool_managerd.http.routes import OPEN_PATHS


class NodeGate:
    """The `Gate` of port 9200."""

    def __init__(self, door: Door, bind_host: str) -> None:
        self._door = door
        self._hosts = Doors.of(bind_host)
        self.standing: Callable[[], object] = door.opens
        """Returns the same object as long as the gate decides as it does: the tokens."""

    def admit(self, request: web.BaseRequest) -> Mapping[str, str]:
        """Let the service token in, and what needs none. Raises ApiError."""
        if hdrs.ORIGIN in request.headers:
            raise ApiError(ErrorCode.FORBIDDEN, "web pages have no business with a node")
        if request.path in OPEN_PATHS:
            return {}
        verdict = self._door.admit(request.headers, request.remote)
        if isinstance(verdict, Refusal):
            raise ApiError(ErrorCode(verdict.code.value), verdict.message)
        if verdict is LOCALHOST:
            # Without a token a name that resolves to this machine must not do.
            self._hosts.check_host(request)
        return {}

    def opens_to(self, headers: Mapping[str, str]) -> bool:
        """Whether it lets these headers in, whoever sends them: by the token that they show."""
        if hdrs.ORIGIN in headers:
            return False
        return isinstance(self._door.admit(headers, None), Identity)
