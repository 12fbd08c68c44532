"""Who may call a node: whoever has the service token, and no web page."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from api_types import ApiError, ErrorCode
from auth_min import LOCALHOST, Door, Refusal
from http_shell import Doors
from pool_managerd.http.routes import OPEN_PATHS


class NodeGate:
    """The `Gate` of port 9200."""

    def __init__(self, door: Door, bind_host: str) -> None:
        self._door = door
        self._hosts = Doors.of(bind_host)

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
