"""A real HTTP server that does to the bytes whatever a test wants."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Wire:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes, *, size: int | None = None) -> None:
        """Write, if asked in pieces of `size` bytes that leave one by one."""
        for start in range(0, len(data), size or max(1, len(data))):
            self._writer.write(data[start : start + size] if size else data)
            await self._writer.drain()
            if size:
                await asyncio.sleep(0)  # let a reader in the same loop have this piece alone

    async def respond(
        self, status: int, body: bytes, *, content_type: str = "application/json"
    ) -> None:
        """A whole response."""
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\n"
        await self.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def begin_stream(self) -> None:
        """The head of a chunked event stream."""
        await self.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )

    async def left(self) -> None:
        """Wait until the peer has closed its side."""
        try:
            while await self._reader.read(4096):
                pass
        except ConnectionError:
            return

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Close in an orderly way."""
        self._writer.close()


Handler = Callable[[WireRequest, Wire], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; of no bytes: the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(slots=True)
class ScriptedServer:
    """A server on a free loopback port; every request goes to `handler`."""

    handler: Handler
    url: str = ""
    requests: list[WireRequest] = field(default_factory=list)
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def running(cls, handler: Handler) -> AsyncIterator["ScriptedServer"]:
        """Serve until the block ends; handlers still at work are then cancelled."""
        scripted = cls(handler)
        server = await asyncio.start_server(scripted._serve, "127.0.0.1", 0)
        scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield scripted
        finally:
            server.close()
            for task in scripted._tasks:
                task.cancel()
            await asyncio.gather(*scripted._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                await self.handler(request, Wire(reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> WireRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return WireRequest(method, path, headers, body)
