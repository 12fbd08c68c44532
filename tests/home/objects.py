"""A real server of S3, behind a wire that can be cut and counts what comes over it."""

import asyncio
import io
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

START_S = 60.0
_CHUNK_BYTES = 64 * 1024
_URL = re.compile(rb"http://127\.0\.0\.1:(\d+)")
_RANGE = re.compile(rb"(?im)^range: *(\S+)")
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}


class ObjectStore:
    """Has the bucket `models`; clients reach it at `url`, over the wire."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self.cuts: list[int] = []
        """The connection of the next GET is cut after so many bytes of its answer, and so on."""
        self.ranges: list[str | None] = []
        """What part each GET has asked for."""
        self.sent_bytes = 0
        """Of the answers to GETs, heads included."""
        self._port = port
        self._bucket = f"http://127.0.0.1:{port}/models"

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["ObjectStore"]:
        """A server of its own."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        try:
            async with asyncio.timeout(START_S):
                while not (found := _URL.search(await process.stderr.readline())):
                    assert process.returncode is None
            store = cls(int(found[1]))
            async with aiohttp.ClientSession() as session:
                await session.put(store._bucket)
            wire = await asyncio.start_server(store._carry, "127.0.0.1", 0)
            async with wire:
                store.url = f"http://127.0.0.1:{wire.sockets[0].getsockname()[1]}"
                yield store
        finally:
            process.kill()
            await process.communicate()

    async def put(self, key: str, content: bytes) -> None:
        """Store an object, past the wire."""
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{self._bucket}/{key}", data=io.BytesIO(content)) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def _carry(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        far, into = await asyncio.open_connection("127.0.0.1", self._port)
        allowed: int | None = None
        is_get = False

        async def upwards() -> None:
            nonlocal allowed, is_get
            while head := await near.read(_CHUNK_BYTES):
                # One segment is one request: those that fetch have no bodies and wait in turn.
                is_get = head.startswith(b"GET ")
                if is_get:
                    part = _RANGE.search(head)
                    self.ranges.append(part[1].decode() if part else None)
                    allowed = self.cuts.pop(0) if self.cuts else None
                into.write(head)
                await into.drain()

        async def downwards() -> None:
            nonlocal allowed
            while data := await far.read(_CHUNK_BYTES):
                data = data if allowed is None else data[:allowed]
                self.sent_bytes += len(data) * is_get
                out.write(data)
                await out.drain()
                if allowed is not None:
                    allowed -= len(data)
                    if not allowed:
                        return

        ways = [asyncio.ensure_future(way) for way in (upwards(), downwards())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            out.close()
            into.close()
