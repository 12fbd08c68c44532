"""A client of one socket that sends what it is told, right or wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from artifact_store.testing import MemoryArtifactStore
from http_shell import serving
from model_keeper.testing import FakeDisk
from orchestratord.access import Access
from orchestratord.config import Settings
from orchestratord.http import create_app, create_edge, create_short_way
from orchestratord.testing.services import FakeMachine, FakeObserver, FakePools, fake_services
from orchestratord.testing.tasks import FakeTasks
from program_config import BindAddress


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


@dataclass
class Shell:
    """The running shell and the fakes behind it."""

    port: int
    tasks: FakeTasks
    pools: FakePools
    machine: FakeMachine
    observer: FakeObserver
    disk: FakeDisk
    connections: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.connections.append(writer)
        return reader, writer

    async def raw(self, request: bytes) -> Answer:
        """Send bytes as they are and read one answer."""
        reader, writer = await self.connect()
        writer.write(request)
        async with asyncio.timeout(10):
            return await read_answer(reader)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a plain request; a body that is not bytes is sent as JSON."""
        payload = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        sent = {"Host": f"127.0.0.1:{self.port}"}
        if body is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(payload))}
        sent |= headers or {}
        return await self.raw(request_bytes(method, path, sent) + payload)

    async def stream(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Mapping[str, str]]:
        """Open an event stream; returns its headers, the rest is read by the test."""
        payload = b"" if body is None else _json(body)
        sent = {"Host": f"127.0.0.1:{self.port}", "Accept": "text/event-stream"}
        if body is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(payload))}
        reader, writer = await self.connect()
        writer.write(request_bytes(method, path, sent | dict(headers or {})) + payload)
        async with asyncio.timeout(10):
            status, received = await read_head(reader)
        assert status == 200
        return reader, writer, received


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def request_bytes(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Write the head of a request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read status and headers."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {}
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(head[0].split()[1]), headers


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer."""
    status, headers = await read_head(reader)
    if headers.get("transfer-encoding") == "chunked":
        body = await read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(status, headers, body)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """Read one chunk; empty at the end."""
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    await reader.readexactly(2)
    return data


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Read chunks to the end."""
    parts = []
    while chunk := await read_chunk(reader):
        parts.append(chunk)
    return b"".join(parts)


@asynccontextmanager
async def running_shell(
    settings: Settings, *, only: frozenset[str] | None = None, short: bool = True
) -> AsyncIterator[Shell]:
    """Serve the fakes on a free port, with all operations or only some; `short` as in service."""
    tasks, observer, pools, machine = FakeTasks(), FakeObserver(), FakePools(), FakeMachine()
    disk = FakeDisk()
    services = fake_services(
        MemoryArtifactStore(),
        tasks,
        observer=observer,
        pools=pools,
        machine=machine,
        disk=disk,
    )
    edge = create_edge(services, settings, Access(settings))
    way = create_short_way(services, settings, edge, keep_alive_s=0.05)
    short = short and only is None
    async with serving(
        create_app(services, settings, only=only, keep_alive_s=0.05),
        edge,
        BindAddress("127.0.0.1", 0),
        shutdown_timeout_s=1.0,
        short_way=way if short else None,
    ) as address:
        shell = Shell(address.port, tasks, pools, machine, observer, disk)
        yield shell
        for writer in shell.connections:
            writer.close()
