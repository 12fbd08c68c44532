"""Clients that leave and engines that break, many at once, on the event loop of the daemon."""

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop

from pool_managerd.testing import OneEngine, relaying

CLIENTS = 16
REQUESTS = 60
SLOTS = 12
LOOKS_LIKE_AN_END = b"\r\n0\r\n\r\n"
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")
_TASK = re.compile(rb"X-Llorch-Task: (\S+)")


def number(pattern: re.Pattern[bytes], head: bytes) -> int:
    found = pattern.search(head)
    assert found
    return int(found[1])


@dataclass
class Echo:
    """An engine that says which task it was asked for, in any form, and often does not finish."""

    chance: random.Random

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The relay has left.
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(number(_LENGTH, head))
        task = _TASK.search(head)
        assert task
        likely = self.chance.random
        says_so, breaks = likely() < 0.1, likely() < 0.06
        answer = self._written(task[1] + b" " + body, says_so=says_so)
        if breaks:
            answer = answer[: self.chance.randrange(len(answer))]
        step = self.chance.randint(1, 40) if likely() < 0.5 else len(answer)
        for start in range(0, len(answer), max(step, 1)):
            writer.write(answer[start : start + step])
            await asyncio.sleep(0)
        if breaks:
            writer.transport.abort()
        return not (breaks or says_so or likely() < 0.1)

    def _written(self, text: bytes, *, says_so: bool) -> bytes:
        close = b"Connection: close\r\n" if says_so else b""
        parts = [text[:5], text[5:9], text[9:], LOOKS_LIKE_AN_END]
        if self.chance.random() < 0.3:
            whole = b"".join(parts)
            return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (close, len(whole), whole)
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
        return b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (close, chunks)


@dataclass
class Storm:
    """Clients that ask, leave and come back."""

    url: str
    chance: random.Random
    seen: Counter[str] = field(default_factory=Counter)

    async def client(self, name: int) -> None:
        at = urlsplit(self.url)
        connection = None
        for turn in range(REQUESTS):
            if connection is None:
                connection = await asyncio.open_connection(at.hostname, at.port)
            reader, writer = connection
            text = f"task.{name}.{turn}/1"
            writer.write(
                f"POST {at.path}/completion HTTP/1.1\r\nHost: n\r\nX-Llorch-Task: {text}\r\n"
                f"Content-Length: {len(text)}\r\n\r\n{text}".encode()
            )
            if self.chance.random() < 0.08:
                await asyncio.sleep(self.chance.random() * 0.003)
                writer.transport.abort()
                connection = None
                continue
            try:
                closes = await self._take(reader, f"{text} {text}".encode() + LOOKS_LIKE_AN_END)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.seen["cut"] += 1
                closes = True
            if closes:
                writer.close()
                connection = None
        if connection is not None:
            connection[1].close()

    async def _take(self, reader: asyncio.StreamReader, expected: bytes) -> bool:
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await self._body(reader, head)
        status = head.split(b" ", 2)[1].decode()
        assert status != "200" or body == expected
        self.seen[status] += 1
        return b"connection: close" in head.lower()

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"chunked" not in head:
            return await reader.readexactly(number(_LENGTH, head))
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body


async def blow(*, short: bool) -> tuple[Counter[str], list[dict[str, Any]]]:
    chance, freed, faults = random.Random(1), asyncio.Event(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, fault: faults.append(fault))
    server = await asyncio.start_server(Echo(chance).serve, "127.0.0.1", 0)
    pool = OneEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", slots=SLOTS)
    pool.on_release = freed.set
    async with server, relaying(pool, short=short) as url, asyncio.timeout(60):
        storm = Storm(url, chance)
        async with asyncio.TaskGroup() as clients:
            for name in range(CLIENTS):
                clients.create_task(storm.client(name))
        while pool.leases.held:
            await freed.wait()
            freed.clear()
    return storm.seen, faults


@pytest.mark.parametrize("short", [True, False], ids=["short way", "aiohttp"])
def test_every_answer_is_its_own_request_s_and_every_slot_comes_back(short: bool) -> None:
    seen, faults = uvloop.run(blow(short=short))
    assert seen["200"] > 100
    assert {"cut", "502"} <= seen.keys() <= {"200", "429", "502", "cut"}
    assert not faults
