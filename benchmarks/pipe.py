"""The floor: a proxy that looks at nothing and copies bytes.

    python -m benchmarks.pipe ENGINE_PORT

The first line of its output is the port.
"""

import asyncio
import sys

from benchmarks.loops import run


class End(asyncio.Protocol):
    """One end of a pipe: what it reads the other end writes."""

    def __init__(self, engine_port: int | None) -> None:
        self._engine_port = engine_port
        self._early = b""
        self.other: asyncio.Transport | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the way to the engine, at the client's end."""
        self.transport = transport  # type: ignore[assignment]
        if self._engine_port is not None:
            self._opening = asyncio.get_running_loop().create_task(self._open(self._engine_port))

    async def _open(self, port: int) -> None:
        transport, end = await asyncio.get_running_loop().create_connection(
            lambda: End(None), "127.0.0.1", port
        )
        end.other = self.transport
        self.other = transport
        transport.write(self._early)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is None:
            self._early += data
        else:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Close the other end as well."""
        if self.other is not None:
            self.other.close()


async def serve(engine_port: int) -> None:
    """Serve for ever; the port goes to the output."""
    server = await asyncio.get_running_loop().create_server(
        lambda: End(engine_port), "127.0.0.1", 0, backlog=4096
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    run(serve(int(sys.argv[1])))
