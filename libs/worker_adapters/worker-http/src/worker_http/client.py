"""The HTTP client of one engine: pooled connections, JSON requests, streams."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from adapter_api import EngineUnreachable, NotBegun
from worker_http.begun import BegunStream, OnStreamEnd
from worker_http.connection import Departure, EngineConnection
from worker_http.endpoint import Endpoint, Headers
from worker_http.exchange import Exchange, OnData, OnEnd, Response
from worker_http.heads import StreamHeads

OnLeave = Callable[[Departure], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """What a client allows itself and its engine."""

    connect_timeout_ms: int = 2_000
    max_idle: int = 8
    """Idle connections kept; llama.cpp spends a thread on each."""
    idle_ms: int = 4_000
    """llama.cpp closes an idle connection after 5 s."""
    max_body_bytes: int = 64 * 1024 * 1024
    linger_ms: int = 5_000
    """How long a connection that was left waits for the engine's own close."""


class EngineClient:
    """Talks HTTP/1.1 to one engine, directly or through its node's relay.

    Errors are `AdapterError`s and never hold the URL, the key or a body. A status is not an
    error here: what it means is the adapter's to say. Belongs to the event loop that uses it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self.endpoint = Endpoint(base_url, api_key=api_key, ssl_context=ssl_context)
        self.limits = limits or ClientLimits()
        self._heads = StreamHeads()
        self._idle: dict[EngineConnection, None] = {}
        self._lingering: set[EngineConnection] = set()
        self._closes_after_streams = False

    @property
    def idle_connections(self) -> int:
        """How many connections wait to be used again."""
        return len(self._idle)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Headers = (),
        timeout_ms: int = 10_000,
        on_leave: OnLeave | None = None,
    ) -> Response:
        """One request, its response read whole."""
        return await self._converse(
            self.endpoint.request_bytes(method, path, body, headers),
            partial(Exchange, first_ms=timeout_ms, max_body_bytes=self.limits.max_body_bytes),
            on_leave,
        )

    async def stream(
        self,
        path: str,
        body: bytes,
        *,
        on_data: OnData,
        on_last: OnData | None = None,
        first_ms: int,
        idle_ms: int,
        headers: Headers = (),
        on_leave: OnLeave | None = None,
    ) -> Response:
        """POST, and give the event stream to `on_data`, once for each read of the socket.

        A read with which the response is whole goes to `on_last` instead, where there is one.
        `first_ms` runs until `on_data` first returns True, `idle_ms` from each True to the next.
        What `on_data` raises ends the call. Whenever a request that was sent ends before its
        response does, by cancellation too, its connection is closed at once and `on_leave` told.
        """
        return await self._converse(
            self.endpoint.request_bytes("POST", path, body, headers),
            partial(
                Exchange,
                first_ms=first_ms,
                idle_ms=idle_ms,
                on_data=on_data,
                on_last=on_last,
                max_body_bytes=self.limits.max_body_bytes,
            ),
            on_leave,
        )

    def begin_stream(
        self,
        path: str,
        body: bytes,
        *,
        on_data: OnData,
        on_last: OnData | None = None,
        on_end: OnStreamEnd,
        first_ms: int,
        idle_ms: int,
        headers: Headers = (),
    ) -> BegunStream | None:
        """Begin what `stream` does, for a caller who does not wait: `on_end` is told of the end.

        Only on a connection that is there already; None, and nothing was sent, where there is none.
        """
        request = self.endpoint.request_bytes("POST", path, body, headers)
        connection = self._take_idle()
        if connection is None:
            return None
        begun = BegunStream(self, connection, on_end)
        exchange = Exchange(
            begun.ended,
            first_ms=first_ms,
            idle_ms=idle_ms,
            on_data=on_data,
            on_last=on_last,
            max_body_bytes=self.limits.max_body_bytes,
        )
        connection.send(exchange, request)
        return begun

    async def close(self) -> None:
        """Close the idle connections and those that linger; running calls are their callers'."""
        for connection in (*self._idle, *self._lingering):
            connection.abort()

    async def _converse(
        self,
        request: bytes,
        new_exchange: Callable[[OnEnd], Exchange],
        on_leave: OnLeave | None,
    ) -> Response:
        connection = self._take_idle() or await self._connect()
        try:
            response = await self._exchange_on(connection, request, new_exchange, on_leave)
        except NotBegun:
            if not connection.reused:
                raise
            # The engine had closed the idle connection: nothing was begun, so once more, anew.
            connection = await self._connect()
            response = await self._exchange_on(connection, request, new_exchange, on_leave)
        self.keep(connection, after_stream=response.streamed)
        return response

    async def _exchange_on(
        self,
        connection: EngineConnection,
        request: bytes,
        new_exchange: Callable[[OnEnd], Exchange],
        on_leave: OnLeave | None,
    ) -> Response:
        done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        connection.send(new_exchange(partial(_settle, done)), request)
        try:
            return await done
        except BaseException:
            departure = self.leave(connection)
            if on_leave is not None:
                on_leave(departure)
            raise

    def leave(self, connection: EngineConnection) -> Departure:
        """Give up what a connection is at."""
        if not connection.lost:
            self._lingering.add(connection)
        return connection.leave(linger_ms=self.limits.linger_ms)

    async def _connect(self) -> EngineConnection:
        endpoint = self.endpoint
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.limits.connect_timeout_ms / 1000):
                _, connection = await loop.create_connection(
                    partial(EngineConnection, self._heads, idle_s=self.limits.idle_ms / 1000),
                    endpoint.host,
                    endpoint.port,
                    ssl=endpoint.ssl_context,
                    server_hostname=endpoint.host if endpoint.ssl_context else None,
                )
        except TimeoutError:
            raise EngineUnreachable(
                f"the engine took no connection within {self.limits.connect_timeout_ms} ms"
            ) from None
        except ssl.SSLError as error:
            raise EngineUnreachable(f"TLS with the engine failed: {error.reason}") from error
        except OSError as error:
            raise EngineUnreachable(
                f"no connection to the engine: {type(error).__name__}"
            ) from error
        connection.on_lost = self._forget
        return connection

    def _take_idle(self) -> EngineConnection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                connection.reused = True
                return connection
        return None

    def keep(self, connection: EngineConnection, *, after_stream: bool) -> None:
        """Keep a connection that has done its work for the next request, or close it."""
        spent = after_stream and self._closes_after_streams
        if spent or not connection.usable or len(self._idle) >= self.limits.max_idle:
            connection.abort()
            return
        connection.rest(after_stream=after_stream)
        self._idle[connection] = None

    def _forget(self, connection: EngineConnection) -> None:
        self._lingering.discard(connection)
        if connection not in self._idle:
            return
        del self._idle[connection]
        since_s = connection.idle_since_s
        if connection.idle_after_stream and since_s is not None:
            idle_s = asyncio.get_running_loop().time() - since_s
            if idle_s < self.limits.idle_ms / 2000:
                # llama.cpp closes soon after every stream and does not say so: a connection that
                # is used again just then would only meet that close.
                self._closes_after_streams = True


def _settle(done: asyncio.Future[Response], told: Response | Exception) -> None:
    if done.done():
        return
    if isinstance(told, Exception):
        done.set_exception(told)
    else:
        done.set_result(told)
