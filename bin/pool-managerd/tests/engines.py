"""Engines to relay to: scripted ones, and the adapter's own."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

ADAPTER_TESTS = Path(__file__).parents[3] / "libs/worker_adapters/llamacpp-http/tests"


def adapters_own(name: str) -> ModuleType:
    """A helper of the adapter's own tests: what holds for the engine must hold behind a relay."""
    spec = importlib.util.spec_from_file_location(f"llamacpp_{name}", ADAPTER_TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Visit:
    """One connection that an engine has taken, with the request that came on it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str

    async def body(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    async def next(self) -> "Visit":
        """Return the next request on the same connection."""
        async with asyncio.timeout(5):
            return Visit(self.reader, self.writer, await _head(self.reader))

    async def left(self) -> None:
        """Return when the other side has closed its half."""
        async with asyncio.timeout(5):
            assert await self.reader.read() == b""


@dataclass
class PlainEngine:
    """An engine that does what a test says, byte by byte."""

    url: str = ""
    visits: "asyncio.Queue[Visit]" = field(default_factory=asyncio.Queue)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> "AsyncIterator[PlainEngine]":
        engine = cls()
        server = await asyncio.start_server(engine._serve, "127.0.0.1", 0)
        engine.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield engine
        finally:
            server.close()
            for writer in engine._writers:
                writer.transport.abort()
            await server.wait_closed()

    async def visit(self) -> Visit:
        async with asyncio.timeout(5):
            return await self.visits.get()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self.visits.put(Visit(reader, writer, await _head(reader)))


async def _head(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode()
