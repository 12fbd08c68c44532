"""Who may call: by credential, by address, and for browsers by Host and Origin."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from api_types import ApiError, ErrorCode
from auth_min import LOCALHOST, Door, Refusal, TokenSet, is_loopback
from http_shell import CALLER, Doors, preflight_headers

OPEN_PATHS = frozenset({"/health", "/ready", "/metrics"})
"""Without authentication: nothing secret is in them."""
SERVICE_PREFIXES = ("/v2/nodes", "/v2/callbacks", "/callbacks")
"""What is for nodes and those who run them: the service token alone opens it."""
_SERVICE_PATHS = tuple(f"{prefix}/" for prefix in SERVICE_PREFIXES)


@dataclass(frozen=True, slots=True)
class Passed:
    """Who came in with a head, by which tokens, and what each answer to them carries."""

    name: str
    headers: Mapping[str, str]
    door: Door
    opens: TokenSet
    others: TokenSet
    lasting: bool
    """No token of this door can change: it holds without a look."""

    def holds(self) -> bool:
        """Whether the tokens that count now are still the same."""
        return self.door.opens() is self.opens and self.door.others() is self.others


PASSED = web.RequestKey("passed", Passed)
"""How a request came in that needed to be let in."""


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
        passed = request[PASSED] = self._pass(request, self._door_of(request))
        request[CALLER] = passed.name
        return passed.headers

    def _pass(self, request: web.BaseRequest, door: Door) -> Passed:
        """Let a request in. Raises ApiError."""
        opens, others = door.opens(), door.others()
        verdict = door.admit(request.headers, request.remote)
        if isinstance(verdict, Refusal):
            raise ApiError(ErrorCode(verdict.code.value), verdict.message)
        if verdict is LOCALHOST:
            # Without a credential, a name that resolves to this machine must not do.
            self._browsers.check_host(request)
        headers = self._browsers.check_origin(request)
        return Passed(verdict.name, headers, door, opens, others, door.lasting)

    def _door_of(self, request: web.BaseRequest) -> Door:
        service = f"{request.path}/".startswith(_SERVICE_PATHS)
        return self._services if service else self._clients
