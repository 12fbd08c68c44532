"""Which hosts models may be fetched from, decided before a connection is made."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from model_provisioner.errors import NetworkRefusedError

_LOOPBACK_NAME = "localhost"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a connection would go."""

    scheme: str
    host: str
    port: int | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its name; names are not resolved."""
        if self.host == _LOOPBACK_NAME or self.host.endswith(f".{_LOOPBACK_NAME}"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """`allow` everything, `deny` everything, or the hosts of a list and no others.

    `hosts` are names, addresses, `name:port`, or `*.domain` for all names below a domain; None
    means all. `plain_http_hosts` are those that may be asked without TLS besides loopback.
    """

    hosts: tuple[str, ...] | None = None
    plain_http_hosts: tuple[str, ...] = ()

    @classmethod
    def allow(cls) -> "NetworkPolicy":
        """Every host."""
        return cls()

    @classmethod
    def deny(cls) -> "NetworkPolicy":
        """No host, not even this machine."""
        return cls(hosts=())

    @classmethod
    def parse(cls, words: str | Sequence[str]) -> "NetworkPolicy":
        """Read `allow`, `deny`, or hosts: the form of LLORCH_NETWORK_POLICY.

        A host written as `http://host` may also be asked without TLS.
        """
        texts = words.split(",") if isinstance(words, str) else words
        names = [text.strip().lower() for text in texts if text.strip()]
        match names:
            case ["allow"]:
                return cls.allow()
            case [] | ["deny"]:
                return cls.deny()
        if {"allow", "deny"} & set(names):
            msg = "a network policy is allow, deny, or a list of hosts; do not mix them"
            raise ValueError(msg)
        plain = tuple(name.removeprefix("http://") for name in names if name.startswith("http://"))
        hosts = tuple(name.removeprefix("http://").removeprefix("https://") for name in names)
        if any("/" in host for host in hosts):
            msg = f"a network policy lists hosts, no addresses of pages: {', '.join(hosts)}"
            raise ValueError(msg)
        return cls(hosts=hosts, plain_http_hosts=plain)

    def may_be_plain(self, endpoint: Endpoint) -> bool:
        """Whether the host may be asked without TLS, if it may be asked at all."""
        return endpoint.is_loopback or _matches(endpoint, self.plain_http_hosts)

    def refusal(self, url: str) -> str | None:
        """Return why a URL must not be asked, None when it may."""
        try:
            self.require(url)
        except NetworkRefusedError as error:
            return str(error)
        return None

    def require(self, url: str) -> None:
        """Raise NetworkRefusedError, which names the rule, unless a URL may be asked."""
        parts = urlsplit(url)
        self.check(Endpoint(parts.scheme, parts.hostname or "", parts.port))

    def check(self, endpoint: Endpoint, *, came_from: Endpoint | None = None) -> None:
        """Raise NetworkRefusedError, which names the rule, unless the connection is permitted.

        `came_from` is the host that redirected here.
        """
        if self.hosts == ():
            raise NetworkRefusedError(str(endpoint), "deny", "the policy is `deny`")
        if self.hosts is not None and not _matches(endpoint, self.hosts):
            listed = ", ".join(self.hosts)
            raise NetworkRefusedError(
                str(endpoint), "hosts", f"the host is not in the policy's list: {listed}"
            )
        if came_from is not None and endpoint.is_loopback and not came_from.is_loopback:
            raise NetworkRefusedError(
                str(endpoint), "redirect-to-loopback", f"{came_from} redirected to this machine"
            )
        if endpoint.scheme == "http" and not self.may_be_plain(endpoint):
            raise NetworkRefusedError(
                str(endpoint),
                "plain-http",
                "http: is for loopback hosts and for those that the policy lists as http://host",
            )


def _matches(endpoint: Endpoint, patterns: Sequence[str]) -> bool:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    names = {endpoint.host, host, f"{host}:{endpoint.port}"}
    return any(
        endpoint.host.endswith(pattern[1:]) if pattern.startswith("*.") else pattern in names
        for pattern in patterns
    )
