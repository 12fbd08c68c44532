"""`ANY /v2/pools/{pool}/replicas/{replica}/engine/{path}`: a client and an engine, joined."""

import asyncio
from collections.abc import Callable
from typing import cast

from aiohttp import StreamReader, web

from adapter_api import TASK_HEADER
from api_types import ApiError, ErrorCode
from http_shell import CORRELATION_ID, ROUTE, ClientConnection
from pool_managerd.relay.heads import HEAD_ENCODING
from pool_managerd.relay.link import End, EngineLink
from pool_managerd.relay.passages import CONNECT_TIMEOUT_S, ROUTE_NAME, Passage, Passages
from pool_managerd.relay.ports import Engines

RELAY_PATH = "/v2/pools/{pool_id}/replicas/{replica_id}/engine{path:/.*}"
BODY_TIMEOUT_S = 30.0
"""How long a client may pause in the middle of its upload."""


class Relay:
    """Passes requests of any form to engines, as a handler of aiohttp.

    Each gets a connection of its own, since a body that came in parts could not be sent again.
    """

    def __init__(self, engines: Engines, *, count: Callable[[str, int], None]) -> None:
        self.passages = Passages(engines, count=count)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; raises ApiError and PoolError as long as nothing was passed on."""
        request[ROUTE] = ROUTE_NAME
        if request.version < (1, 1):
            raise ApiError(ErrorCode.INVALID_PARAMS, "the relay speaks HTTP/1.1 only")
        at = request.match_info
        passage = self.passages.admit(
            *(at["pool_id"], at["replica_id"]),
            *(request.method, at["path"], request.headers.get(TASK_HEADER, "")),
        )
        try:
            link = await _connect(passage)
            client = request.transport
            if client is None:
                link.abort()
                raise ConnectionResetError("the client has gone")
        except BaseException:
            self.passages.close(passage)
            raise
        protocol = cast("ClientConnection", request.protocol)
        talk = _Talk(self.passages, passage, link, protocol)
        link.carry(
            *(talk, _Listening(client)),
            correlation_id=request[CORRELATION_ID].encode("ascii"),
            keep_alive=request.keep_alive,
        )
        passage.link = link
        try:
            if protocol.writing_paused:
                link.flow(False)
            if passage.revoked is not None:
                link.end(End.REVOKED)
            return await _converse(request, passage, talk)
        finally:
            talk.leave()


async def _connect(passage: Passage) -> EngineLink:
    engine = passage.engine
    link = EngineLink(engine.kept)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await loop.create_connection(lambda: link, engine.host, engine.port)
    except (TimeoutError, OSError) as error:
        raise passage.unreachable(error) from error
    return link


class _Listening:
    """A client as long as it is there: its handler hears only a turn later that it has gone."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send it; uvloop raises where the transport is closed."""
        if not self._transport.is_closing():
            self._transport.write(data)


class _Talk:
    """One request as its link knows it; once it has ended, the link may be another's."""

    def __init__(
        self, passages: Passages, passage: Passage, link: EngineLink, client: ClientConnection
    ) -> None:
        self.link = link
        self.over = asyncio.Event()
        self.outcome: _Relayed | ApiError
        """There when it is over."""
        self._passages = passages
        self._passage = passage
        self._client = client
        client.on_flow = link.flow

    def ended(self, how: End) -> None:
        """See `Asking`."""
        link, head = self.link, self.link.head
        if head is None:
            self.outcome = self._passage.failure(link)
        else:
            # Whatever is missing shows to the client as a body that was cut.
            stays = how is End.WHOLE and link.reusable
            self.outcome = _Relayed(head.status, keep_alive=stays)
        self._client.on_flow = None
        self.over.set()

    def let_go(self) -> None:
        """See `Asking`."""
        self._passages.close(self._passage)

    def leave(self) -> None:
        """Give up what has not ended."""
        if not self.over.is_set():
            self._client.on_flow = None
            self.link.leave()


async def _converse(request: web.Request, passage: Passage, talk: _Talk) -> web.StreamResponse:
    """Send the request, its body as it comes in, and wait for the end of the answer."""
    length = request.content_length if request.body_exists else 0
    head = passage.head(
        [(n.decode(HEAD_ENCODING), v.decode(HEAD_ENCODING)) for n, v in request.raw_headers],
        query=request.rel_url.raw_query_string,
        correlation_id=request[CORRELATION_ID],
        body_bytes=length,
    )
    if not talk.over.is_set():
        await _send(request.content, talk, head, chunked=length is None)
    if isinstance(talk.outcome, ApiError):
        raise talk.outcome
    return talk.outcome


class _Relayed(web.StreamResponse):
    """A response whose bytes have gone to the client already."""

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._stays_open = keep_alive

    @property
    def prepared(self) -> bool:
        """Nothing can be added."""
        return True

    @property
    def keep_alive(self) -> bool:
        """Whether the connection is fit for another request."""
        return self._stays_open

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to do."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to do."""


async def _send(content: StreamReader, talk: _Talk, head: bytes, *, chunked: bool) -> None:
    if content.at_eof() or (not chunked and content.is_eof()):
        talk.link.send(head + content.read_nowait(), last=True)  # all of it is there: one segment
        await talk.over.wait()
        return
    async with asyncio.TaskGroup() as group:
        talk.link.send(head)
        sending = group.create_task(_send_parts(content, talk.link, chunked=chunked))
        try:
            await talk.over.wait()
        finally:
            sending.cancel()


async def _send_parts(content: StreamReader, link: EngineLink, *, chunked: bool) -> None:
    try:
        while True:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                part = await content.readany()
            if not part:
                break
            link.send(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            await link.sent()
    except (TimeoutError, web.RequestPayloadError):
        link.end(End.BROKEN)
    else:
        link.send(b"0\r\n\r\n" if chunked else b"", last=True)
