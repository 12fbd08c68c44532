"""What one read of the engine costs the relay, in calls, which a busy machine does not change."""

import asyncio
import sys
from types import FrameType

from pool_managerd.relay.link import End, EngineLink

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = b"10\r\ndata: 0123456789\r\n"


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.parts.append(bytes(data))

    def write_eof(self) -> None:
        self.ended = True


def linked() -> tuple[EngineLink, Written, Written]:
    client, engine = Written(), Written()
    link = EngineLink(
        client,
        correlation_id="mine",
        keep_alive=True,
        on_end=lambda _how: None,
        on_gone=lambda: None,
    )
    link.connection_made(engine)
    link.data_received(HEAD)
    return link, client, engine


async def test_a_read_is_one_write_and_a_handful_of_calls() -> None:
    link, client, _ = linked()
    before, calls = len(client.parts), 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for _ in range(100):
            link.data_received(TOKEN)
    finally:
        sys.setprofile(None)
    assert len(client.parts) - before == 100
    # The read itself, the transport's write with its list, two looks at the bytes.
    assert calls <= 100 * 6 + 2


async def test_an_end_is_seen_however_the_engine_cuts_it() -> None:
    whole = TOKEN + b"0\r\n\r\n"
    for size in range(1, len(whole) + 1):
        link, client, engine = linked()
        for start in range(0, len(whole), size):
            assert not engine.ended
            link.data_received(whole[start : start + size])
        assert engine.ended
        link.connection_lost(None)
        assert link.ended is End.WHOLE
        assert b"".join(client.parts).endswith(b"\r\n\r\n" + whole)


async def test_a_last_chunk_inside_of_a_token_is_no_end() -> None:
    link, _, engine = linked()
    link.data_received(b"f\r\ndata: 10\r\n\r\n")
    assert not engine.ended
    link.connection_lost(None)
    assert link.ended is End.BROKEN
