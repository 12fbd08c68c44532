import asyncio
import struct
from contextlib import asynccontextmanager

import pytest

SRV, IN = 33, 1


def encoded(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class NameServer(asyncio.DatagramProtocol):
    """A name server of one name: answers every question with its SRV records."""

    def __init__(self):
        self.records = []
        self.code = 0
        self.silent = False
        self.port = 0

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, address):
        if self.silent:
            return
        question = data[12 : data.index(b"\0", 12) + 5]
        records = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", SRV, IN, 60, len(rdata)) + rdata
            for rdata in (
                struct.pack("!HHH", 10, 5, port) + encoded(target) for target, port in self.records
            )
        )
        flags = 0x8180 | self.code
        header = data[:2] + struct.pack("!HHHHH", flags, 1, len(self.records), 0, 0)
        self.transport.sendto(header + question + records, address)


@asynccontextmanager
async def serving():
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


@pytest.fixture
async def name_server():
    async with serving() as server:
        yield server
