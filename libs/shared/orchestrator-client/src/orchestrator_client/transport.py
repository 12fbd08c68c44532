"""One HTTP call or one streamed response: timeouts and typed errors, and retries of calls."""

import asyncio
import os
import random
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from api_types import EVENT_STREAM
from orchestrator_client.errors import (
    ConnectionLost,
    LlamaOrchError,
    ProtocolError,
    StreamAlreadyEnded,
    Unreachable,
    status_error,
)
from orchestrator_client.policy import RetryPolicy, Timeouts

Model = TypeVar("Model", bound=BaseModel)
ReadChunk = Callable[[], Awaitable[bytes]]
"""Returns the next piece of a stream as it arrives, and nothing at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. All calls of the API may be repeated, so a retry sends the same bytes again."""

    method: str
    path: str
    correlation_id: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    also_accept: frozenset[int] = frozenset()
    """Statuses besides 2xx that are answers, not errors."""
    last_event_id: int | None = None
    timeout_s: float | None = None
    """In place of the policy's, for what reads or deletes whole models."""

    def resumed_from(self, event_id: int | None) -> "Call":
        """Return this call with a `Last-Event-ID`."""
        return replace(self, last_event_id=event_id)


class Transport:
    """The connection pool to one server. Opened and closed by its owner, the client."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        timeouts: Timeouts,
        retry: RetryPolicy,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeouts = timeouts
        self.retry = retry
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the connection pool; nothing is sent yet."""
        connector = aiohttp.TCPConnector(limit=0, ssl=True if self._tls is None else self._tls)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            skip_auto_headers=("Content-Type",),  # a POST without a body has no type
        )

    async def close(self) -> None:
        """Close every connection, streams included."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, model: type[Model], call: Call) -> Model:
        """Make a call and return its answer as a `model`."""
        body = await self.send(call)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise ProtocolError(
                f"{call.method} {call.path} answered no valid {model.__name__}: {error}"
            ) from error

    async def send(self, call: Call) -> bytes:
        """Make a call, and make it again while the policy allows and the error is retriable."""
        clock = asyncio.get_running_loop().time
        started = clock()
        failures = 0
        while True:
            try:
                return await self._send_once(call)
            except LlamaOrchError as error:
                failures += 1
                delay_ms = self.retry.delay_ms(
                    failures,
                    elapsed_ms=int((clock() - started) * 1000),
                    jitter=random.random(),  # noqa: S311 (spreads load, guards nothing)
                    asked_ms=error.retry_after_ms,
                )
                if not error.retriable or delay_ms is None:
                    raise
            await asyncio.sleep(delay_ms / 1000)

    async def _send_once(self, call: Call) -> bytes:
        limits = aiohttp.ClientTimeout(
            total=call.timeout_s or self.timeouts.request_s, sock_connect=self.timeouts.connect_s
        )
        async with self._request(call, limits, accept="application/json") as response:
            with self._typed_errors():
                body = await response.read()
            _raise_refusal(call, response, body)
            return body

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncGenerator[ReadChunk]:
        """Open one event stream, once; what comes after a cut is the caller's business."""
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self.timeouts.connect_s, sock_read=self.timeouts.idle_s
        )
        async with self._request(call, limits, accept=EVENT_STREAM) as response:
            if response.status == 204:
                raise StreamAlreadyEnded(f"no event follows {call.last_event_id} at {call.path}")
            if response.status != 200:
                with self._typed_errors():
                    body = await response.read()
                _raise_refusal(call, response, body)
            if response.content_type != EVENT_STREAM:
                raise ProtocolError(
                    f"{call.path} answered {response.status} {response.content_type}, "
                    f"not 200 {EVENT_STREAM}"
                )

            async def read() -> bytes:
                with self._typed_errors():
                    return await response.content.readany()

            yield read

    @asynccontextmanager
    async def _request(
        self, call: Call, limits: aiohttp.ClientTimeout, *, accept: str
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the client is not open: use `async with Client(...) as client`")
        headers = {"Accept": accept, "X-Correlation-Id": call.correlation_id}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if call.last_event_id is not None:
            headers["Last-Event-ID"] = str(call.last_event_id)
        with self._typed_errors():
            response = await self._session.request(
                call.method,
                self.base_url + call.path,
                params=call.params,
                data=call.body,
                headers=headers,
                timeout=limits,
                allow_redirects=False,  # the API key must not follow to another host
            )
        async with response:
            yield response

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"no connection to {self.base_url}: {_reason(error)}") from error
        except TimeoutError as error:
            raise ConnectionLost(f"{self.base_url} fell silent") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(f"the connection to {self.base_url} broke: {error}") from error


def _reason(error: OSError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        # Its errno is that of another world.
        why = error.certificate_error
        return f"its certificate is not trusted ({why}); SSL_CERT_FILE may name who signs it"
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _raise_refusal(call: Call, response: aiohttp.ClientResponse, body: bytes) -> None:
    if not (200 <= response.status < 300 or response.status in call.also_accept):
        raise status_error(response.status, response.headers, body)
