"""`ANY /v2/pools/{pool}/replicas/{replica}/engine/{path}`: a client and an engine, joined."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

from aiohttp import StreamReader, web

from adapter_api import TASK_HEADER, EnginePath, find_path
from api_types import ApiError, ErrorCode
from http_shell import CORRELATION_ID, ROUTE, ClientConnection
from local_pool_manager import Lease, ReplicaEndpoint
from narration_core import get_logger
from pool_managerd.relay.heads import request_head
from pool_managerd.relay.link import End, EngineLink
from pool_managerd.relay.ports import Engines

RELAY_PATH = "/v2/pools/{pool_id}/replicas/{replica_id}/engine{path:/.*}"
ROUTE_NAME = "/v2/pools/{pool_id}/replicas/{replica_id}/engine/{path}"
CONNECT_TIMEOUT_S = 2.0
BODY_TIMEOUT_S = 30.0
"""How long a client may pause in the middle of its upload."""

_TASK = re.compile(r"[!-.0-~]{1,128}/[1-9][0-9]{0,8}")


class Relay:
    """Passes requests to engines; a generating one is a lease on a slot."""

    def __init__(self, engines: Engines, *, count: Callable[[str, int], None]) -> None:
        self._engines = engines
        self._count = count
        self._running: set[_Passage] = set()
        self._claims = 0
        self._log = get_logger(component="relay")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; raises ApiError and PoolError as long as nothing was passed on."""
        request[ROUTE] = ROUTE_NAME
        if request.version < (1, 1):
            raise ApiError(ErrorCode.INVALID_PARAMS, "the relay speaks HTTP/1.1 only")
        endpoint = self._engines.endpoint(
            request.match_info["pool_id"], request.match_info["replica_id"]
        )
        path = find_path(endpoint.engine, request.method, request.match_info["path"])
        if path is None:
            raise ApiError(ErrorCode.NOT_FOUND, f"no adapter uses this path of {endpoint.engine}")
        passage = _Passage(endpoint)
        if path.generates:
            self._lease(request, passage)
        self._running.add(passage)
        try:
            link = passage.link = await self._connect(request, passage)
        except BaseException:
            self._close(passage)
            raise
        protocol = cast("ClientConnection", request.protocol)
        protocol.on_flow = link.flow
        try:
            if protocol.writing_paused:
                link.flow(False)
            if passage.revoked is not None:
                link.end(End.REVOKED)
            return await self._join(request, path, passage, link)
        finally:
            protocol.on_flow = None
            link.leave()

    def revoke(self, reason: str) -> None:
        """End every generating request."""
        for passage in tuple(self._running):
            if passage.lease is not None:
                passage.revoke(reason)

    def count(self) -> None:
        """Count the bytes that have passed since the last call."""
        for passage in self._running:
            self._count_of(passage)

    def _lease(self, request: web.Request, passage: "_Passage") -> None:
        endpoint, task = passage.endpoint, request.headers.get(TASK_HEADER, "")
        if not _TASK.fullmatch(task):
            raise ApiError(
                ErrorCode.INVALID_PARAMS, f"a generating request needs {TASK_HEADER}: id/attempt"
            )
        # A connection is the claim: the same task may come again while an engine still lets go.
        self._claims += 1
        passage.lease = self._engines.acquire(
            endpoint.pool_id,
            endpoint.replica_id,
            f"{task}#{self._claims}",
            on_revoked=passage.revoke,
        )

    async def _connect(self, request: web.Request, passage: "_Passage") -> EngineLink:
        endpoint, client = passage.endpoint, request.transport
        if client is None:
            raise ConnectionResetError("the client has gone")
        host, port, _ = _address(endpoint.url)
        link = EngineLink(
            client,
            correlation_id=request[CORRELATION_ID],
            keep_alive=request.keep_alive,
            on_gone=lambda: self._close(passage),
        )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: link, host, port)
        except (TimeoutError, OSError) as error:
            self._log.warning("engine_unreachable", pool_id=endpoint.pool_id, error=str(error))
            raise _engine_lost(endpoint, "takes no connection") from error
        return link

    async def _join(
        self, request: web.Request, path: EnginePath, passage: "_Passage", link: EngineLink
    ) -> web.StreamResponse:
        endpoint = passage.endpoint
        length = request.content_length if request.body_exists else 0
        query = request.rel_url.raw_query_string
        head = request_head(
            path.method,
            f"{path.path}?{query}" if query else path.path,
            request.raw_headers,
            authority=_address(endpoint.url)[2],
            engine_key=endpoint.engine_key,
            correlation_id=request[CORRELATION_ID],
            body_bytes=length,
        )
        end = await _converse(request.content, link, head, chunked=length is None)
        if link.head is not None:
            # Whatever is missing shows to the client as a body that was cut.
            return _Relayed(link.head.status, keep_alive=end is End.WHOLE and link.reusable)
        if passage.revoked is not None:
            raise ApiError(ErrorCode.POOL_DRAINING, passage.revoked, pool_id=endpoint.pool_id)
        raise _engine_lost(endpoint, link.fault or "closed the connection unanswered")

    def _close(self, passage: "_Passage") -> None:
        """The engine has let go, or was never reached: the slot is free again."""
        if passage not in self._running:
            return
        self._count_of(passage)
        self._running.discard(passage)
        passage.link = None  # Which knows of the passage: no circle is left to the collector.
        if passage.lease is not None:
            self._engines.release(passage.lease)

    def _count_of(self, passage: "_Passage") -> None:
        if passage.link is not None:
            passed_bytes = passage.link.passed_bytes
            self._count(passage.endpoint.pool_id, passed_bytes - passage.counted_bytes)
            passage.counted_bytes = passed_bytes


@dataclass(slots=True, eq=False)
class _Passage:
    """One request on its way, until its engine has let go of it."""

    endpoint: ReplicaEndpoint
    lease: Lease | None = None
    link: EngineLink | None = None
    revoked: str | None = None
    counted_bytes: int = 0

    def revoke(self, reason: str) -> None:
        """End the request: the deadline of a drain has passed."""
        self.revoked = reason
        if self.link is not None:
            self.link.end(End.REVOKED)


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


async def _converse(content: StreamReader, link: EngineLink, head: bytes, *, chunked: bool) -> End:
    """Send the request, its body as it comes in, and wait for the end of the answer."""
    if link.ended.done():
        return link.ended.result()
    if content.at_eof() or (not chunked and content.is_eof()):
        link.send(head + content.read_nowait())  # all of it is there: one segment
        return await link.ended
    async with asyncio.TaskGroup() as group:
        link.send(head)
        sending = group.create_task(_send(content, link, chunked=chunked))
        try:
            return await link.ended
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


@lru_cache(maxsize=256)
def _address(url: str) -> tuple[str, int, str]:
    """Return host, port, and what stands for both in a request."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0, parts.netloc


def _engine_lost(endpoint: ReplicaEndpoint, what: str) -> ApiError:
    return ApiError(
        ErrorCode.WORKER_RESET,
        f"the engine of {endpoint.pool_id}/{endpoint.replica_id} {what}",
        engine=endpoint.engine,
        pool_id=endpoint.pool_id,
    )
