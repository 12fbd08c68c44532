"""Who may talk to us: what keeps a daemon on loopback closed to web pages.

A page of any site can make its visitor's browser send requests to 127.0.0.1. A name of the site
that resolves to this machine shows in `Host`, the site itself in `Origin`, and a form cannot
send JSON.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from aiohttp import hdrs
from aiohttp.web import BaseRequest

from api_types import ApiError, ErrorCode
from program_config import is_loopback_host

IDENTITY = "localhost"
"""The identity that all callers without credentials share."""

_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{0,5})?")
_EXPOSED = (
    "Location, Retry-After, X-Backoff-Ms, X-Budget-Cost-Remaining, "
    "X-Budget-Time-Remaining-Ms, X-Budget-Tokens-Remaining, X-Correlation-Id, X-Task-Id"
)
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Accept, Authorization, Content-Type, Last-Event-ID, X-API-Key, X-Correlation-Id, "
        "X-Deadline-Ms, X-Priority, X-Session-Id, "
        # What the OpenAI client for JavaScript sends from a page.
        "X-Stainless-Arch, X-Stainless-Helper-Method, X-Stainless-Lang, X-Stainless-OS, "
        "X-Stainless-Package-Version, X-Stainless-Retry-Count, X-Stainless-Runtime, "
        "X-Stainless-Runtime-Version, X-Stainless-Timeout"
    ),
    "Access-Control-Max-Age": "600",
}


@dataclass(frozen=True, slots=True)
class Doors:
    """The rules of one listening address."""

    bind_host: str
    allowed_hosts: frozenset[str]
    cors_origins: frozenset[str]

    @classmethod
    def of(
        cls, bind_host: str, *, allowed_hosts: Iterable[str] = (), cors_origins: Iterable[str] = ()
    ) -> Self:
        """Build them from settings."""
        return cls(
            bind_host.lower(),
            frozenset(host.lower() for host in allowed_hosts),
            frozenset(origin.lower() for origin in cors_origins),
        )

    def admit(self, request: BaseRequest) -> Mapping[str, str]:
        """See `Gate`: the right Host, and no foreign Origin. Raises ApiError."""
        self.check_host(request)
        return self.check_origin(request)

    def check_host(self, request: BaseRequest) -> None:
        """Refuse a request that was meant for another name. Raises ApiError."""
        hosts = request.headers.getall(hdrs.HOST, [])
        if len(hosts) != 1:
            raise ApiError(ErrorCode.INVALID_PARAMS, "a request carries exactly one Host header")
        # The target of a request may name a host as well, and aiohttp's `host` is that one then.
        for host in {hosts[0], request.host}:
            if not self._is_ours(host):
                raise ApiError(
                    ErrorCode.MISDIRECTED_REQUEST,
                    "the Host of this request is none of ours: use a loopback name, or add it to "
                    "ORCHD_ALLOWED_HOSTS",
                )

    def check_origin(self, request: BaseRequest) -> Mapping[str, str]:
        """Refuse the pages of other sites; returns the CORS headers that each answer must carry.

        Raises ApiError.
        """
        origins = request.headers.getall(hdrs.ORIGIN, [])
        if not origins:
            return {}
        origin = origins[0].lower()
        if len(origins) == 1 and origin in self.cors_origins:
            return {
                "Access-Control-Allow-Origin": origins[0],
                "Access-Control-Expose-Headers": _EXPOSED,
                "Vary": "Origin",
            }
        if len(origins) == 1 and _is_same(origin, request.headers[hdrs.HOST].lower()):
            return {}
        raise ApiError(
            ErrorCode.FORBIDDEN,
            "this Origin may not call: add it to ORCHD_CORS_ORIGINS if it should",
        )

    @lru_cache(maxsize=256)  # noqa: B019 - there is one of these for each listening address
    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host.lower())
        if found is None:
            return False
        name = found["v6"] or found["name"]
        return (
            is_loopback_host(name)
            or name == self.bind_host
            or name in self.allowed_hosts
            or host.lower() in self.allowed_hosts
        )


def preflight_headers(request: BaseRequest) -> Mapping[str, str] | None:
    """Return what a CORS preflight is answered with; None if the request is none."""
    is_preflight = (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ORIGIN in request.headers
        and "Access-Control-Request-Method" in request.headers
    )
    return _PREFLIGHT_HEADERS if is_preflight else None


def _is_same(origin: str, host: str) -> bool:
    return origin in (f"http://{host}", f"https://{host}")
