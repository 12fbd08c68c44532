"""Who may call: by credential, by address, and for browsers by Host and Origin."""

from collections.abc import Mapping

from aiohttp import web

from api_types import ApiError, ErrorCode
from auth_min import LOCALHOST, Door, Refusal, is_loopback
from http_shell import CALLER, Doors, preflight_headers

OPEN_PATHS = frozenset({"/health", "/ready", "/metrics"})
"""Without authentication: nothing secret is in them."""
SERVICE_PREFIXES = ("/v2/nodes", "/v2/callbacks", "/callbacks")
"""What is for nodes and those who run them: the service token alone opens it."""
_SERVICE_PATHS = tuple(f"{prefix}/" for prefix in SERVICE_PREFIXES)


class Gate:
    """The `http_shell.Gate` of port 8080."""

    def __init__(self, browsers: Doors, *, clients: Door, services: Door) -> None:
        self._browsers = browsers
        self._clients = clients
        self._services = services

    def admit(self, request: web.BaseRequest) -> Mapping[str, str]:
        """Note who calls, and return what CORS wants in the answer. Raises ApiError."""
        if request.path in OPEN_PATHS:
            # Probes call a machine by any of its addresses, web pages nobody by a loopback one.
            if is_loopback(self._browsers.bind_host):
                self._browsers.check_host(request)
            return self._browsers.check_origin(request)
        if preflight_headers(request) is not None:  # A browser sends no credential with it.
            return self._browsers.admit(request)
        verdict = self._door_of(request).admit(request.headers, request.remote)
        if isinstance(verdict, Refusal):
            raise ApiError(ErrorCode(verdict.code.value), verdict.message)
        if verdict is LOCALHOST:
            # Without a credential, a name that resolves to this machine must not do.
            self._browsers.check_host(request)
        request[CALLER] = verdict.name
        return self._browsers.check_origin(request)

    def _door_of(self, request: web.BaseRequest) -> Door:
        service = f"{request.path}/".startswith(_SERVICE_PATHS)
        return self._services if service else self._clients
