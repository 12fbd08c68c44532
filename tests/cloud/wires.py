"""The wire between two daemons on one machine, which a test can cut, slow down and heal."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

from .of_home import Engine

READ_BYTES = 65_536
CALL_S = 5.0


class Wires:
    """An event loop of its own for all wires: a test that waits for a process blocks none."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires")
        self._wires: list[Wire] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self._wires:
            self.call(wire.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    def lay(self) -> "Wire":
        """Open a port that leads nowhere yet."""
        wire = Wire(self)
        self.call(wire.open())
        self._wires.append(wire)
        return wire

    def control(self) -> "Wire":
        """What leads to a control plane."""
        return self.lay()

    def node(self, _name: str, control: "Wire") -> tuple["Wire", "Wire"]:
        """What leads from a node to its control plane, and what leads to the node."""
        out = self.lay()
        out.lead_to(control.address)
        return out, self.lay()

    def call(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done there, and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S)


class Wire:
    """One port in front of another. Cut, it loses nothing and passes nothing on, like TCP."""

    bind = "127.0.0.1:0"
    """Where what it leads to listens."""
    prefix: tuple[str, ...] = ()

    def __init__(self, wires: Wires) -> None:
        self.target: tuple[str, int] | None = None
        self.delay_s: tuple[float, float] = (0.0, 0.0)
        """Each piece takes a time between these two."""
        self._wires = wires
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen on any port."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)

    async def close(self) -> None:
        """Drop all connections and listen no more."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        """Where it begins."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    @property
    def url(self) -> str:
        """The same as a URL."""
        return f"http://{self.address}"

    def lead_to(self, address: str) -> None:
        """Have it end there from now on."""
        host, _, port = address.rpartition(":")
        self.target = (host, int(port))

    def engine(self, told: dict[str, Any]) -> Engine:
        """An engine of the node that it leads to."""
        return Engine(told["pid"], told["url"], told["engine_key"], told["pool_id"])

    def cut(self) -> None:
        """Let nothing through, neither way."""
        self._wires.call(self._set(self._whole.clear))

    def heal(self) -> None:
        """Let everything through, also what has waited."""
        self._wires.call(self._set(self._whole.set))

    async def _set(self, change: Callable[[], None]) -> None:
        change()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        other: asyncio.StreamWriter | None = None
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._whole.wait()
                if self.target is None:
                    return
                far_reader, other = await asyncio.open_connection(*self.target)
                await _both(self._pump(reader, other), self._pump(far_reader, writer))
        finally:
            self._tasks.discard(task)
            for end in (writer, other):
                if end is not None:
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_BYTES):
            if self.delay_s[1]:
                await asyncio.sleep(random.uniform(*self.delay_s))
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
        await self._whole.wait()
        writer.write_eof()


async def _both(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run both ways; one that breaks ends the other, one that ends does not."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
