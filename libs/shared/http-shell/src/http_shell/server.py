"""Listening: the aiohttp server with typed answers to requests that are not even HTTP."""

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from api_types import ApiError, ErrorCode
from http_shell.edge import CORRELATION_HEADER, CORRELATION_ID, Edge
from http_shell.errors import ErrorMap
from http_shell.short import Recall, ShortExchange, ShortWay
from http_shell.short_heads import UNFINISHED, ShortReader
from http_shell.turns import Turns
from narration_core import new_correlation_id
from program_config import BindAddress

LINGER_S = 5.0
_MAX_EARLY_BYTES = 65_536
KEEP_ALIVE_S = 75.0
HOLD_S = 1.0
"""How long the rest of a body is waited for, until aiohttp waits for it."""


class CannotListen(OSError):
    """The address cannot be listened on; the text says what to do."""

    def __init__(self, address: BindAddress, cause: OSError, *, option: str) -> None:
        # asyncio puts its own sentence in place of the system's.
        reason = os.strerror(cause.errno) if cause.errno else str(cause)
        advice = "give an address of this machine"
        if cause.errno == errno.EADDRINUSE:
            advice = "stop the program that has it, or choose another one"
        elif cause.errno == errno.EACCES:
            advice = "choose a port from 1024 on"
        super().__init__(f"{address} cannot be listened on: {reason}; {advice} ({option})")


class ClientConnection(web.RequestHandler):
    """One client connection: a request's `protocol`."""

    on_flow: Callable[[bool], None] | None = None
    """Told False when the client takes no more bytes for now, and True when it does again."""

    def __init__(
        self,
        manager: web.Server,
        *,
        errors: ErrorMap,
        short_way: ShortWay | None,
        recall: Recall | None,
        reader: ShortReader | None,
        turns: Turns,
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self._errors = errors
        self._short_way = short_way
        """None once aiohttp has seen a byte: then it keeps the connection."""
        self._recall = recall
        self._reader = reader
        self._turns = turns
        self._remote: str | None = None
        self._exchange: ShortExchange | None = None
        self._held = b""
        """A request of which the rest is to come."""
        self._giving_up: asyncio.TimerHandle | None = None
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._when_answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who is at the other end."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._remote = peer[0] if isinstance(peer, tuple | list) else peer

    def data_received(self, data: bytes) -> None:
        """Answer a request that may go the short way; leave all else to aiohttp."""
        if self._exchange is not None or self._early:  # None overtakes what came before it.
            self._keep_early(data)
            return
        if self._short_way is not None:
            # What is recalled takes a tenth of the time: no turn is too full for it.
            if self._recall is not None and not self._held:
                self._exchange = _UNDER_WAY
                exchange = self._recall(data, self)
                if exchange is not None:
                    if self._exchange is _UNDER_WAY:  # Else it was answered at once.
                        self._exchange = exchange
                    return
                self._exchange = None
            if not self._turns.left:
                self._exchange = _UNDER_WAY
                self._keep_early(data)
                self._turns.put_off(self._begin)
                return
            self._turns.left -= 1
        if self._held:
            data = self._held + data
            self._let_go()
        if self._short_way is not None and self._reader is not None:
            request = self._reader.read(data, self._remote)
            if request is UNFINISHED:
                self._hold(data)
                return
            if request is not None:
                self._exchange = _UNDER_WAY
                exchange = self._short_way.begin(request, self)
                if exchange is not None:
                    if self._exchange is _UNDER_WAY:
                        self._exchange = exchange
                    return
                self._exchange = None
            self._short_way = None
        super().data_received(data)

    def _begin(self) -> None:
        """Look at what came when too much had begun already."""
        self._exchange = None
        self._take_early()
        if self._exchange is None:  # It is aiohttp's, or the client has gone meanwhile.
            self._tell_answered()

    def _hold(self, data: bytes) -> None:
        """Keep a request until the rest of its body comes: a network cuts it where it likes."""
        self._held = data
        self._giving_up = self._loop.call_later(HOLD_S, self._give_up)

    def _let_go(self) -> None:
        self._held = b""
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self) -> None:
        self._short_way = None
        self.data_received(b"")

    def answered(self) -> None:
        """A short exchange is over; what came meanwhile is looked at next."""
        self._exchange = None
        self.on_flow = None
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._when_answered is not None:
            self._tell_answered()
        elif self._early:
            self._loop.call_soon(self._take_early)

    def _tell_answered(self) -> None:
        waiting, self._when_answered = self._when_answered, None
        if waiting is not None and not waiting.done():  # Or it has waited for long enough.
            waiting.set_result(None)

    def _keep_early(self, data: bytes) -> None:
        self._early.append(data)
        self._early_bytes += len(data)
        if self._early_bytes > _MAX_EARLY_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def _take_early(self) -> None:
        if self.transport is None or self._exchange is not None:
            return
        if self._early_bytes > _MAX_EARLY_BYTES:
            self.transport.resume_reading()
        data = b"".join(self._early)
        self._early.clear()
        self._early_bytes = 0
        if data:
            self.data_received(data)

    def _process_keepalive(self) -> None:
        """Whoever reads a short answer is not idle, though aiohttp waits for its next request."""
        if self._exchange is not None or self._held:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def close(self) -> None:
        """Take no further request."""
        self._short_way = None
        super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - as aiohttp has it
        """Let the short exchange end within the timeout, then close as aiohttp does."""
        if self._exchange is not None:
            self._when_answered = self._loop.create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._when_answered
        await super().shutdown(timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give up the short exchange as well."""
        self._short_way = None
        self._let_go()
        self._early.clear()
        exchange, self._exchange = self._exchange, None
        super().connection_lost(exc)
        if exchange is not None:
            exchange.lost()
        self._tell_answered()

    def pause_writing(self) -> None:
        """The client is slower than whoever writes."""
        super().pause_writing()
        if self.on_flow is not None:
            self.on_flow(False)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self.on_flow is not None:
            self.on_flow(True)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - repeats bytes of the request
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse, or what went wrong around the handler."""
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer was sent: there is no way to tell the error")
        correlation_id = request.get(CORRELATION_ID) or new_correlation_id()
        if status >= 500:
            failure = exc if isinstance(exc, Exception) else RuntimeError("handling failed")
        else:
            failure = ApiError(
                ErrorCode.INVALID_PARAMS,
                "this is not a valid HTTP/1.1 request: its request line or headers are malformed "
                "or too large",
            )
        response = self._errors.answer(failure, correlation_id)
        response.headers[CORRELATION_HEADER] = correlation_id
        response.force_close()
        return response


class _UnderWay:
    """An exchange that is just beginning."""

    def lost(self) -> None:
        """Nothing can be lost before anything was written."""


_UNDER_WAY = _UnderWay()


class _Server(web.Server):
    """Makes our connections and leads every request over the edge."""

    def __init__(
        self,
        application: web.Server,
        edge: Edge,
        short_way: ShortWay | None,
        recall: Recall | None,
        **options: Any,
    ) -> None:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await edge.handle(request, application.request_handler)

        super().__init__(
            handle,
            request_factory=application.request_factory,
            handler_cancellation=True,
            **options,
        )
        self._options = options
        self._errors = edge.errors
        self._short_way = short_way
        self._recall = recall
        self._reader = None if short_way is None else ShortReader(short_way.knows)
        self._turns = Turns(self._loop.call_soon)

    def __call__(self) -> web.RequestHandler:
        return ClientConnection(
            self,
            errors=self._errors,
            short_way=self._short_way,
            recall=self._recall,
            reader=self._reader,
            turns=self._turns,
            loop=self._loop,
            **self._options,
        )


class _Runner(web.AppRunner):
    def __init__(
        self,
        app: web.Application,
        edge: Edge,
        *,
        short_way: ShortWay | None,
        recall: Recall | None,
        shutdown_timeout_s: float,
    ) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_timeout_s)
        self._edge = edge
        self._short_way = short_way
        self._recall = recall

    async def _make_server(self) -> web.Server:
        return _Server(
            await super()._make_server(),
            self._edge,
            self._short_way,
            self._recall,
            access_log=None,
            # Bodies come plain (415 otherwise), so that no small body unpacks to a large one.
            auto_decompress=False,
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=LINGER_S,
        )


@asynccontextmanager
async def serving(
    app: web.Application,
    edge: Edge,
    address: BindAddress,
    *,
    shutdown_timeout_s: float = 5.0,
    ssl_context: ssl.SSLContext | None = None,
    option: str = "--bind-addr",
    short_way: ShortWay | None = None,
    recall: Recall | None = None,
) -> AsyncIterator[BindAddress]:
    """Serve as long as the context is open; yields where, with the port that was chosen.

    Where there is a short way, `recall` is asked before it. Raises CannotListen, which names
    `option` as the way to another address.

    On leaving, no connection is accepted any more, idle ones are closed, and what still runs has
    the timeout before it is cut. End the streams first, since they go on for ever otherwise.
    """
    runner = _Runner(
        *(app, edge),
        short_way=short_way,
        recall=recall,
        shutdown_timeout_s=shutdown_timeout_s,
    )
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, address.host, address.port, backlog=1024, ssl_context=ssl_context
        )
        try:
            await site.start()
        except OSError as error:
            raise CannotListen(address, error, option=option) from error
        yield BindAddress(address.host, runner.addresses[0][1])
    finally:
        await runner.cleanup()
