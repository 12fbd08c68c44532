"""Who may come in: one request's headers and peer in, an identity or a refusal out."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from auth_min.files import TokenSource, fixed, is_fixed
from auth_min.tokens import LOCALHOST, Identity, TokenSet

_BEARER = "bearer"
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})
_FORWARDED_PREFIX = "x-forwarded-"
_NOTHING = fixed(TokenSet())


class RefusalCode(StrEnum):
    """The wire code of a refusal."""

    MISSING_TOKEN = "MISSING_TOKEN"
    BAD_TOKEN = "BAD_TOKEN"
    FORBIDDEN = "FORBIDDEN"
    CERT_REQUIRED = "CERT_REQUIRED"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a caller stays outside; the message may be shown to them."""

    code: RefusalCode
    message: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the headers of one request say about its caller."""

    secrets: frozenset[str]
    """More than one: the headers contradict each other."""
    forwarded: bool
    """Something between the caller and us has passed the request on."""


def read_credentials(headers: Mapping[str, str]) -> Credentials:
    """Read `Authorization`, `X-API-Key` and the traces of proxies.

    A header may stand several times if `headers.items()` gives it so, as aiohttp's does.
    """
    secrets: set[str] = set()
    forwarded = False
    for name, value in headers.items():
        match name.lower():
            case "authorization":
                secrets.add(_bearer(value))
            case "x-api-key":
                secrets.add(value.strip())
            case lower if lower in _FORWARDED or lower.startswith(_FORWARDED_PREFIX):
                forwarded = True
    return Credentials(frozenset(filter(None, secrets)), forwarded)


@lru_cache(maxsize=1024)
def is_loopback(host: str | None) -> bool:
    """Tell whether a name or address means this machine, without asking a resolver."""
    if host is None:
        return False
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@dataclass(frozen=True, slots=True)
class Door:
    """The rule of a group of routes.

    `opens` are the secrets that open it, `others` those that are known and open other doors only.
    With `optional_on_loopback` a caller of this machine needs none, but a wrong one is refused
    as anywhere. With none configured at all, what such a caller presents is ignored: OpenAI
    clients always send something. `trust_proxy` lets a proxy on this machine speak for others.
    """

    opens: TokenSource
    others: TokenSource = _NOTHING
    optional_on_loopback: bool = False
    trust_proxy: bool = False

    @property
    def lasting(self) -> bool:
        """Whether it is known that who may come in may do so as long as the process runs."""
        return is_fixed(self.opens) and is_fixed(self.others)

    def admit(self, headers: Mapping[str, str], peer: str | None) -> Identity | Refusal:
        """Decide about one request; `peer` is the address at the other end of its connection."""
        presented = read_credentials(headers)
        opens, others = self.opens(), self.others()
        secret = next(iter(presented.secrets)) if len(presented.secrets) == 1 else None
        # Both are always compared, also when nothing was presented: all refusals take as long.
        identity, stranger = opens.find(secret), others.find(secret)
        direct = self.trust_proxy or not presented.forwarded
        may_skip = self.optional_on_loopback and direct and is_loopback(peer)
        if may_skip and (not presented.secrets or not (opens or others)):
            return LOCALHOST
        if not presented.secrets:
            return _MISSING
        if len(presented.secrets) > 1:
            return _DIFFERENT
        if identity is not None:
            return identity
        return _BAD if stranger is None else _FORBIDDEN


CERT_REQUIRED = Refusal(
    RefusalCode.CERT_REQUIRED, "this route needs a client certificate of a CA that is trusted here"
)
_MISSING = Refusal(
    RefusalCode.MISSING_TOKEN,
    "no credential: send it as `Authorization: Bearer …` or as `X-API-Key`",
)
_DIFFERENT = Refusal(
    RefusalCode.BAD_TOKEN, "several credentials that differ: send one, or the same twice"
)
_BAD = Refusal(RefusalCode.BAD_TOKEN, "this credential is not known here")
_FORBIDDEN = Refusal(RefusalCode.FORBIDDEN, "this credential does not open this route")


def _bearer(value: str) -> str:
    """Return the token; another scheme stays whole, so that it is presented and matches nothing."""
    scheme, _, token = value.strip().partition(" ")
    return token.strip() if scheme.lower() == _BEARER else value
