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
    """Passes requests of any form to engines, as a handler of aiohttp."""

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
        ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        try:
            link = passage.link = await self._connect(request, passage, ended)
        except BaseException:
            self.passages.close(passage)
            raise
        protocol = cast("ClientConnection", request.protocol)
        protocol.on_flow = link.flow
        try:
            if protocol.writing_paused:
                link.flow(False)
            if passage.revoked is not None:
                link.end(End.REVOKED)
            return await _join(request, passage, link, ended)
        finally:
            protocol.on_flow = None
            link.leave()

    async def _connect(
        self, request: web.Request, passage: Passage, ended: asyncio.Future[End]
    ) -> EngineLink:
        client = request.transport
        if client is None:
            raise ConnectionResetError("the client has gone")

        def on_end(how: End) -> None:
            if not ended.done():  # A handler that is just being cancelled waits no more.
                ended.set_result(how)

        link = EngineLink(
            client,
            correlation_id=request[CORRELATION_ID],
            keep_alive=request.keep_alive,
            on_end=on_end,
            on_gone=lambda: self.passages.close(passage),
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: link, *passage.address)
        except (TimeoutError, OSError) as error:
            raise passage.unreachable(error) from error
        return link


async def _join(
    request: web.Request, passage: Passage, link: EngineLink, ended: asyncio.Future[End]
) -> web.StreamResponse:
    length = request.content_length if request.body_exists else 0
    head = passage.head(
        [(n.decode(HEAD_ENCODING), v.decode(HEAD_ENCODING)) for n, v in request.raw_headers],
        query=request.rel_url.raw_query_string,
        correlation_id=request[CORRELATION_ID],
        body_bytes=length,
    )
    end = await _converse(request.content, link, ended, head, chunked=length is None)
    if link.head is None:
        raise passage.failure(link)
    # Whatever is missing shows to the client as a body that was cut.
    return _Relayed(link.head.status, keep_alive=end is End.WHOLE and link.reusable)


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


async def _converse(
    content: StreamReader,
    link: EngineLink,
    ended: asyncio.Future[End],
    head: bytes,
    *,
    chunked: bool,
) -> End:
    """Send the request, its body as it comes in, and wait for the end of the answer."""
    if ended.done():
        return ended.result()
    if content.at_eof() or (not chunked and content.is_eof()):
        link.send(head + content.read_nowait())  # all of it is there: one segment
        return await ended
    async with asyncio.TaskGroup() as group:
        link.send(head)
        sending = group.create_task(_send(content, link, chunked=chunked))
        try:
            return await ended
        finally:
            sending.cancel()


async def _send(content: StreamReader, link: EngineLink, *, chunked: bool) -> None:
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
        if chunked:
            link.send(b"0\r\n\r\n")
