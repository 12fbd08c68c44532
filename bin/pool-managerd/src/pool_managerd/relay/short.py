"""The relay's short way past aiohttp: no task waits for an answer, whatever comes takes the step.

What it does not know or may not let in goes to aiohttp as it came, so that both are told in one
place; and what it lets in, it checks, passes on and ends as `relay.Relay` does.
"""

import asyncio
import re
import time
from typing import cast

from aiohttp import web

from adapter_api import TASK_HEADER
from http_shell import (
    ANSWER_HEADERS,
    CLIENT_GONE,
    CORRELATION_ID,
    Edge,
    ShortConnection,
    ShortExchange,
    ShortRequest,
    answer_bytes,
)
from narration_core import TraceParent, bind_correlation
from pool_managerd.relay.link import End, EngineLink
from pool_managerd.relay.passages import CONNECT_TIMEOUT_S, ROUTE_NAME, Passage, Passages

_METHODS = frozenset({"GET", "POST"})
_ID = "[A-Za-z0-9][A-Za-z0-9._-]*"
_PATH = re.compile(f"/v2/pools/({_ID})/replicas/({_ID})/engine(/[A-Za-z0-9/_-]*)")
"""In the form in which nothing is to be decoded; there is no query."""


class ShortRelay:
    """Fulfils `http_shell.ShortWay`."""

    def __init__(self, passages: Passages, edge: Edge) -> None:
        self._passages = passages
        self._edge = edge

    def knows(self, method: str, path: str) -> bool:
        """Whether it is for an engine."""
        return method in _METHODS and _PATH.fullmatch(path) is not None

    def begin(self, request: ShortRequest, connection: ShortConnection) -> ShortExchange | None:
        """Begin to relay."""
        since_s = time.monotonic()
        found = _PATH.fullmatch(request.path)
        if found is None:
            return None
        seen = cast("web.Request", request)
        _, trace = self._edge.correlate(seen)
        try:
            self._edge.check(seen)
        except Exception:  # noqa: BLE001 - aiohttp's way meets the same and answers it
            return None
        exchange = _Exchange(
            self._passages, self._edge, request, connection, trace=trace, since_s=since_s
        )
        exchange.start(request, *found.groups())
        return exchange


class _Exchange:
    """One request, from its client to its engine and back."""

    __slots__ = (
        "_answer_headers",
        "_connection",
        "_correlation_id",
        "_edge",
        "_link",
        "_method",
        "_opening",
        "_over",
        "_passage",
        "_passages",
        "_path",
        "_since_s",
        "_timer",
        "_trace",
        "_transport",
    )

    def __init__(
        self,
        passages: Passages,
        edge: Edge,
        request: ShortRequest,
        connection: ShortConnection,
        *,
        trace: TraceParent | None,
        since_s: float,
    ) -> None:
        self._passages = passages
        self._edge = edge
        # Not the request itself: its body need not be kept as long as its answer takes.
        self._method = request.method
        self._path = request.path
        self._answer_headers: dict[str, str] = request[ANSWER_HEADERS]
        self._connection = connection
        self._transport: asyncio.Transport = connection.transport
        self._correlation_id: str = request[CORRELATION_ID]
        self._trace = trace
        self._since_s = since_s
        self._passage: Passage
        self._link: EngineLink
        self._opening: asyncio.Task[None] | None = None
        """There while the engine has not taken the connection yet."""
        self._timer: asyncio.TimerHandle
        self._over = False

    def start(self, request: ShortRequest, pool_id: str, replica_id: str, path: str) -> None:
        """Take a slot, and pass the request on."""
        try:
            passage = self._passage = self._passages.admit(
                *(pool_id, replica_id),
                *(request.method, path, request.headers.get(TASK_HEADER, "")),
            )
        except Exception as error:  # noqa: BLE001 - as at the edge: all of them end here
            self._refuse(error)
            return
        try:
            head = passage.head(
                tuple(request.headers.items()),
                query="",
                correlation_id=self._correlation_id,
                body_bytes=len(request.content),
            )
        except Exception as error:  # noqa: BLE001
            self._passages.close(passage)
            self._refuse(error)
            return
        sent = head + request.content
        kept = passage.engine.kept.take()
        if kept is None:
            self._open(sent)
        elif self._join(kept):
            kept.send_again(sent)

    def lost(self) -> None:
        """The client has gone: the engine is told at once."""
        if self._over:
            return
        if self._opening is None:
            self._link.leave()
        else:
            self._opening.cancel()
        self._finish(CLIENT_GONE)

    # pool_managerd.relay.link.Asking

    def ended(self, how: End) -> None:
        """The client has all that there will be, unless the engine never heard of the request."""
        if self._over:
            return
        link = self._link
        if how is End.STALE:
            self._open(link.unanswered)
            return
        if link.head is None:
            self._refuse(self._passage.failure(link))
            return
        self._finish(link.head.status)
        if how is End.WHOLE and link.reusable:
            self._connection.answered()
        else:
            # Whatever is missing shows to the client as a body that was cut.
            self._hang_up()

    def let_go(self) -> None:
        """The slot is free."""
        self._passages.close(self._passage)

    def _join(self, link: EngineLink) -> bool:
        """Join the client and a connection to the engine; False: too late to send anything."""
        passage, connection = self._passage, self._connection
        link.carry(self, self._transport, correlation_id=self._correlation_id, keep_alive=True)
        self._link = passage.link = link
        if self._over:
            link.leave()
            return False
        connection.on_flow = link.flow
        if connection.writing_paused:
            link.flow(False)
        if passage.revoked is not None:
            link.end(End.REVOKED)
            return False
        return True

    def _open(self, sent: bytes) -> None:
        """Open a connection, and send the request as soon as the engine takes it."""
        engine = self._passage.engine
        loop = asyncio.get_running_loop()

        def made() -> None:
            self._opening = None
            if self._join(link):
                link.send(sent, last=True)

        link = EngineLink(engine.kept, on_made=made)

        async def connect() -> None:
            await loop.create_connection(lambda: link, engine.host, engine.port)

        self._opening = opening = loop.create_task(connect())
        opening.add_done_callback(self._opened)
        self._timer = loop.call_later(CONNECT_TIMEOUT_S, opening.cancel)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        """Whatever became of the connection."""
        self._timer.cancel()
        error = TimeoutError() if opening.cancelled() else opening.exception()
        if error is not None and self._opening is not None:
            self._opening = None
            self._not_opened(cast("Exception", error))

    def _not_opened(self, error: Exception) -> None:
        self._passages.close(self._passage)
        if self._over:
            return
        if isinstance(error, OSError):  # TimeoutError is one as well.
            with bind_correlation(self._correlation_id, self._trace):
                error = self._passage.unreachable(error)
        self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        """Answer with an error, as long as nothing was passed on."""
        if self._transport.is_closing():
            self._finish(CLIENT_GONE)
            self._hang_up()
            return
        with bind_correlation(self._correlation_id, self._trace):
            response = self._edge.answer(error, self._path, self._correlation_id)
        response.headers.update(self._answer_headers)
        self._transport.write(answer_bytes(response))
        self._finish(response.status)
        self._connection.answered()

    def _hang_up(self) -> None:
        self._connection.on_flow = None
        self._transport.close()

    def _finish(self, status: int) -> None:
        self._over = True
        self._edge.count(ROUTE_NAME, method=self._method, status=status, since_s=self._since_s)
