"""A response whose head is recognised is read as one whose head was parsed."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from worker_http.connection import EngineConnection
from worker_http.exchange import Exchange, Response
from worker_http.heads import StreamHeads
from worker_http.testing import chunk

HEAD = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

responses = st.one_of(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6).map(
        lambda parts: CHUNKED + b"".join(map(chunk, parts)) + chunk(b"")
    ),
    st.sampled_from(
        [
            CHUNKED + b"zz\r\n",
            CHUNKED + chunk(b"cut off"),
            CHUNKED + chunk(b"data: 1\n\n") + chunk(b"") + b"HTTP/1.1 200 OK\r\n\r\n",
            HEAD + b"Content-Length: 3\r\n\r\nabc",
            HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b""),
            b"HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + chunk(b"x") + chunk(b""),
        ]
    ),
)


class Transport(asyncio.Transport):
    """Takes what is written, and closes when it is told."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def write(self, data: object) -> None:
        pass

    def abort(self) -> None:
        pass


@dataclass
class Seen:
    """What one exchange has shown."""

    body: bytes = b""
    ended: list[object] = field(default_factory=list)
    usable: bool = True

    def on_data(self, data: bytes) -> bool:
        self.body += data
        return True

    def on_end(self, told: Response | Exception) -> None:
        self.ended.append(told if isinstance(told, Response) else repr(told))


def reads_of(response: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({cut % (len(response) + 1) for cut in cuts}), len(response)]
    return [response[a:b] for a, b in pairwise(places) if a < b]


def seen_of(reads: list[bytes], heads: StreamHeads) -> Seen:
    seen = Seen()
    connection = EngineConnection(heads, idle_s=4.0)
    connection.connection_made(cast("asyncio.BaseTransport", Transport()))
    exchange = Exchange(
        seen.on_end, first_ms=1_000, idle_ms=1_000, on_data=seen.on_data, max_body_bytes=10_000
    )
    connection.send(exchange, b"")
    for read in reads:
        connection.data_received(read)
    seen.usable = connection.usable
    connection.connection_lost(None)
    return seen


@given(response=responses, cuts=st.lists(st.integers(0, 400), max_size=5))
def test_recognising_a_head_changes_nothing_that_can_be_seen(
    response: bytes, cuts: list[int]
) -> None:
    async def play() -> None:
        heads = StreamHeads()
        parsed = seen_of([response], heads), seen_of(reads_of(response, cuts), StreamHeads())
        known = seen_of([response], heads), seen_of(reads_of(response, cuts), heads)
        for one, other in zip(parsed, known, strict=True):
            assert (one.body, one.ended) == (other.body, other.ended)
            assert one.usable or not other.usable  # When in doubt it is not used again.

    asyncio.run(play())


def test_only_streams_that_stay_are_learned_and_the_oldest_are_forgotten() -> None:
    async def play() -> None:
        heads = StreamHeads()
        for other in (
            HEAD + b"Content-Length: 3\r\n\r\nabc",
            HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b""),
            b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + chunk(b""),
            b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b""),
        ):
            seen_of([other], heads)
            assert heads.body_of(other) is None
        for second in range(100):
            dated = HEAD + b"Date: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % second
            seen_of([dated + chunk(b"x") + chunk(b"")], heads)
            assert heads.body_of(dated + b"rest") == b"rest"
        assert heads.body_of(HEAD + b"Date: 0\r\nTransfer-Encoding: chunked\r\n\r\n") is None

    asyncio.run(play())
