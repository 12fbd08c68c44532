"""HTTP as fetching needs it: each connection and each redirect asks the policy first."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import aiohttp

from model_provisioner.errors import SourceError, SourceMissingError, UnauthorizedError
from model_provisioner.policy import Endpoint
from model_provisioner.retries import InterruptedFetchError, retry_after_s
from model_provisioner.settings import FetchSettings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 8
_MAY_PASS = frozenset({408, 425, 429})
_MAX_TEXT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """A header that only one origin may see."""

    url: str
    headers: Mapping[str, str] = field(repr=False)

    def for_url(self, url: str) -> Mapping[str, str]:
        """The headers if the address is of the origin they are meant for."""
        return self.headers if _origin(url) == _origin(self.url) else {}


class WebClient:
    """GET requests that follow redirects one by one."""

    def __init__(self, session: aiohttp.ClientSession, settings: FetchSettings) -> None:
        self._session = session
        self._policy = settings.policy

    @classmethod
    @asynccontextmanager
    async def running(cls, settings: FetchSettings) -> AsyncIterator["WebClient"]:
        """A client whose connections are closed at the end."""
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=settings.connect_timeout_s,
            sock_connect=settings.connect_timeout_s,
            sock_read=settings.idle_timeout_s,
        )
        # Bytes are digested as they are stored, so nothing may be unpacked on the way.
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            yield cls(session, settings)

    @asynccontextmanager
    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of the last redirect: 2xx, or a status that is accepted beside these.

        Raises InterruptedFetchError where another attempt may help, else a FetchError.
        """
        place = shown(url)
        came_from: Endpoint | None = None
        try:
            for _ in range(_MOST_REDIRECTS):
                endpoint = endpoint_of(url)
                self._policy.check(endpoint, came_from=came_from)
                sent = {"Accept-Encoding": "identity", **(headers or {})}
                if credentials is not None:
                    sent |= credentials.for_url(url)
                async with self._session.get(url, headers=sent, allow_redirects=False) as response:
                    target = response.headers.get("Location")
                    if response.status not in _REDIRECTS or target is None:
                        if not (200 <= response.status < 300 or response.status in accept):
                            raise refusal(place, response)
                        yield response
                        return
                    url = urljoin(url, target)
                    came_from = endpoint
        except aiohttp.ClientSSLError as error:
            raise SourceError(place, f"TLS failed: {error}", retriable=False) from error
        except aiohttp.InvalidURL:
            raise SourceError(place, "it redirects to no valid address", retriable=False) from None
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise InterruptedFetchError(place, str(error) or type(error).__name__) from error
        raise SourceError(place, f"more than {_MOST_REDIRECTS} redirects", retriable=False)

    async def read(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
    ) -> bytes:
        """A short document as a whole."""
        async with self.get(url, headers=headers, credentials=credentials) as response:
            return await read_bounded(response)


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The whole answer, unless it is longer than any document that a source should send."""
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > _MAX_TEXT_BYTES:
            reason = f"its answer has more than {_MAX_TEXT_BYTES} bytes"
            raise SourceError(shown(str(response.url)), reason, retriable=False)
    return bytes(data)


def endpoint_of(url: str) -> Endpoint:
    """Where a request for an address connects to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in {"http", "https"}:
        raise SourceError(shown(url), "only http: and https: can be asked", retriable=False)
    return Endpoint(parts.scheme, host.rstrip("."), port)


def shown(url: str) -> str:
    """The address without its query, which may carry a signature."""
    return url.partition("?")[0][:500]


def refusal(place: str, response: aiohttp.ClientResponse) -> Exception:
    """The error that a status means."""
    why = response.headers.get("X-Error-Message", response.reason or "")
    told = f"it answers {response.status} {why[:300]}".rstrip()
    if response.status in {404, 410}:
        return SourceMissingError(place, told)
    if response.status in {401, 403}:
        return UnauthorizedError(place, told)
    if response.status >= 500 or response.status in _MAY_PASS:
        wait_s = retry_after_s(response.headers.get("Retry-After"))
        return InterruptedFetchError(place, told, wait_s=wait_s)
    return SourceError(place, told, retriable=False)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
