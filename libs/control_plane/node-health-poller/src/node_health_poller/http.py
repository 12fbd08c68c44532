"""Asking a node over HTTP."""

import ssl
from collections.abc import Callable
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from api_types import PoolList
from node_health_poller.ports import Unanswered
from node_health_poller.types import NodePolled
from service_discovery_types import RegisterRequest

MAX_ANSWER_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024

_Answer = TypeVar("_Answer", bound=BaseModel)


class HttpNodeClient:
    """A `NodeClient` over aiohttp; the session is its maker's to close.

    `token` and `tls` are asked anew for each request, so that both can be rotated.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        timeout_ms: int,
        token: Callable[[], str | None],
        tls: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._token = token
        self._tls = tls

    async def ask(self, url: str) -> NodePolled:
        """Ask for the node, then for its pools: they are at least as new as its `seq`."""
        base = url.rstrip("/")
        node = await self._get(f"{base}/v2/node", RegisterRequest)
        pools = await self._get(f"{base}/v2/pools", PoolList)
        return NodePolled(url, node, pools.pools)

    async def _get(self, url: str, model: type[_Answer]) -> _Answer:
        token, tls = self._token(), self._tls()
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._session.get(
                url,
                headers=headers,
                timeout=self._timeout,
                ssl=True if tls is None else tls,
                allow_redirects=False,
            ) as answer:
                if answer.status != 200:
                    raise Unanswered(f"{url} answered HTTP {answer.status}")
                return model.model_validate_json(await _read(answer))
        except TimeoutError as error:
            raise Unanswered(f"{url} did not answer within {self._timeout.total:g} s") from error
        except ValidationError as error:
            problems = error.error_count()
            raise Unanswered(f"{url} answered no {model.__name__}: {problems} problems") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unanswered(f"{url}: {type(error).__name__} {error}".strip()) from error


def new_session() -> aiohttp.ClientSession:
    """Make a session that keeps no cookies, reads no environment and asks the system for names.

    Where aiodns is installed, aiohttp would ask the name servers itself, and `gpu-a.local` or
    whatever else the system has configured would not be found.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver()),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise Unanswered(f"{answer.url} answered more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
