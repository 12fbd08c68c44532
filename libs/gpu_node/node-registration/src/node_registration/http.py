"""The messages over HTTP."""

import json
import ssl
from collections.abc import Callable
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from node_registration.types import Failure, RefusalCode, Refused, Unreachable
from service_discovery_types import (
    DeregisterRequest,
    DeregisterResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    PoolReadyCallback,
    PoolReadyResponse,
    RegisterRequest,
    RegisterResponse,
)

_Response = TypeVar("_Response", bound=BaseModel)

CALLBACK_PATH = "/v2/callbacks/pool-ready"
MAX_ANSWER_BYTES = 64 * 1024
KEEP_ALIVE_S = 60.0
"""How long a connection waits for the next heartbeat: less than the 75 s of a control plane."""


class HttpControlPlane:
    """A `ControlPlaneClient` over aiohttp; the session is its maker's to close.

    `token` and `tls` are asked anew for each call, so that both can be rotated.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        timeout_ms: int,
        token: Callable[[], str | None],
        tls: Callable[[], ssl.SSLContext | None],
        callback_path: str = CALLBACK_PATH,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._callback_path = callback_path
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._token = token
        self._tls = tls

    @property
    def url(self) -> str:
        """The base URL."""
        return self._url

    async def register(self, message: RegisterRequest) -> RegisterResponse | Failure:
        """Say hello."""
        return await self._call("POST", "/v2/nodes/register", message, RegisterResponse)

    async def heartbeat(self, message: HeartbeatRequest) -> HeartbeatResponse | Failure:
        """Say how the node is."""
        path = f"/v2/nodes/{message.node_id}/heartbeat"
        return await self._call("POST", path, message, HeartbeatResponse)

    async def pool_ready(self, message: PoolReadyCallback) -> PoolReadyResponse | Failure:
        """Say at once what the next heartbeat would say."""
        return await self._call("POST", self._callback_path, message, PoolReadyResponse)

    async def deregister(self, message: DeregisterRequest) -> DeregisterResponse | Failure:
        """Say goodbye."""
        path = f"/v2/nodes/{message.node_id}"
        return await self._call("DELETE", path, message, DeregisterResponse)

    async def _call(
        self, method: str, path: str, message: BaseModel, response: type[_Response]
    ) -> _Response | Failure:
        body = message.model_dump_json().encode()
        try:
            try:
                status, answer = await self._exchange(method, path, body)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError):
                # A kept connection may have ended on the other side meanwhile. Should the message
                # have been heard, the repeat is refused as stale and the next one counts.
                status, answer = await self._exchange(method, path, body)
        except TimeoutError:
            return Unreachable(f"no answer within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unreachable(str(error) or type(error).__name__)
        if status != 200:
            return _refused(status, answer)
        try:
            return response.model_validate_json(answer)
        except ValidationError as error:
            return Unreachable(
                f"the answer is no {response.__name__}: {error.error_count()} errors"
            )

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        token = self._token()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        tls = self._tls()
        async with self._session.request(
            method,
            self._url + path,
            data=body,
            headers=headers,
            timeout=self._timeout,
            ssl=True if tls is None else tls,
            allow_redirects=False,
        ) as answer:
            return answer.status, await _read(answer)


def new_session() -> aiohttp.ClientSession:
    """Make a session that keeps no cookies, reads no environment and asks the system for names.

    Where aiodns is installed, aiohttp would ask the name servers itself, and `gpu-a.local` or
    whatever else the system has configured would not be found.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=aiohttp.ThreadedResolver(), keepalive_timeout=KEEP_ALIVE_S
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


def split_callback_url(url: str) -> tuple[str, str]:
    """Return the base URL and the path of a callback URL; without a path it is the usual one."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}", f"{slash}{path}" if path else CALLBACK_PATH


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(MAX_ANSWER_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _refused(status: int, body: bytes) -> Refused:
    try:
        error = json.loads(body)
        name, message = error["code"], error["message"]
    except (ValueError, KeyError, TypeError):
        return Refused(RefusalCode.OTHER, f"HTTP {status}")
    known = name in RefusalCode.__members__
    return Refused(RefusalCode[name] if known else RefusalCode.OTHER, f"{name}: {message}")
