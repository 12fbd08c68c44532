"""A TCP relay in front of an engine: it cuts what the engine says, and passes no half-close."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


@asynccontextmanager
async def relay_to(url: str, *, size: int = 65_536) -> AsyncIterator[str]:
    """The address of a relay that hands the engine's bytes on in pieces of `size`."""
    engine = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(engine.hostname, engine.port)
        up = asyncio.create_task(_pump(reader, up_writer, 65_536))
        down = asyncio.create_task(_pump(up_reader, writer, size))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in (up, down):
                end.cancel()
            writer.transport.abort()
            up_writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> None:
    try:
        while data := await reader.read(65_536):
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                await writer.drain()
                if size < len(data):
                    await asyncio.sleep(0)
    except ConnectionError:
        return
