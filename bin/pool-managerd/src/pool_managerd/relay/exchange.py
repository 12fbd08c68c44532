"""A relayed request that no task waits for: whatever comes, from either side, takes the step."""

import asyncio
from contextlib import AbstractContextManager
from typing import cast

from http_shell import CLIENT_GONE, CORRELATION_HEADER, Edge, ShortConnection, answer_bytes
from narration_core import bind_correlation, parse_traceparent
from pool_managerd.relay.link import End, EngineLink
from pool_managerd.relay.passages import CONNECT_TIMEOUT_S, ROUTE_NAME, Passage, Passages


class Exchange:
    """One request, from its client to its engine and back; an `Asking` and a `ShortExchange`."""

    __slots__ = (
        "_connection",
        "_edge",
        "_link",
        "_opening",
        "_over",
        "_passage",
        "_passages",
        "_path",
        "_since_s",
        "_timer",
        "_transport",
        "answer_headers",
        "correlation_id",
        "method",
        "traceparent",
    )

    correlation_id: bytes

    def __init__(
        self,
        passages: Passages,
        edge: Edge,
        connection: ShortConnection,
        path: str,
        since_s: float,
    ) -> None:
        self._passages = passages
        self._edge = edge
        # Not the request itself: its body need not be kept as long as its answer takes.
        self._path = path
        self._connection = connection
        self._transport: asyncio.Transport = connection.transport
        self._since_s = since_s
        self._passage: Passage
        self._link: EngineLink
        self._opening: asyncio.Task[None] | None = None
        """There while the engine has not taken the connection yet."""
        self._timer: asyncio.TimerHandle
        self._over = False
        self.method = "POST"
        self.traceparent = b""
        self.answer_headers: dict[str, str] = {}
        """Of an answer that is not the engine's, with the correlation id."""

    def send(self, passage: Passage, request: bytes) -> None:
        """Pass a request on that was let in."""
        self._passage = passage
        kept = passage.engine.kept.take()
        if kept is None:
            self._open(request)
        elif self._join(kept):
            kept.send_again(request)

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
            self.refuse(self._passage.failure(link))
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

    def refuse(self, error: Exception) -> None:
        """Answer with an error, as long as nothing was passed on."""
        if self._transport.is_closing():
            self._finish(CLIENT_GONE)
            self._hang_up()
            return
        correlation_id = self.correlation_id.decode("ascii")
        with self._told():
            response = self._edge.answer(error, self._path, correlation_id)
        response.headers[CORRELATION_HEADER] = correlation_id
        response.headers.update(self.answer_headers)
        self._transport.write(answer_bytes(response))
        self._finish(response.status)
        self._connection.answered()

    def _join(self, link: EngineLink) -> bool:
        """Join the client and a connection to the engine; False: too late to send anything."""
        passage, connection = self._passage, self._connection
        if self._over or passage.revoked is not None:
            # Nothing was begun. And of a connection that was made just now a loop may tell no end.
            link.abort()
            self._passages.close(passage)
            if not self._over:
                self.refuse(passage.failure(link))
            return False
        link.carry(self, self._transport, correlation_id=self.correlation_id, keep_alive=True)
        self._link = passage.link = link
        connection.on_flow = link.flow
        if connection.writing_paused:
            link.flow(False)
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
            with self._told():
                error = self._passage.unreachable(error)
        self.refuse(error)

    def _told(self) -> AbstractContextManager[object]:
        """Within it the log tells of this request."""
        trace = parse_traceparent(self.traceparent.decode("ascii"))
        return bind_correlation(self.correlation_id.decode("ascii"), trace)

    def _hang_up(self) -> None:
        self._connection.on_flow = None
        self._transport.close()

    def _finish(self, status: int) -> None:
        self._over = True
        self._edge.count(ROUTE_NAME, method=self.method, status=status, since_s=self._since_s)
