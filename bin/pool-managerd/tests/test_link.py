"""One connection to an engine: what a read costs, and what becomes of it behind an answer."""

import asyncio
import sys
from types import FrameType

from pool_managerd.relay.kept import KeptLinks
from pool_managerd.relay.link import End, EngineLink

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = b"10\r\ndata: 0123456789\r\n"
LAST = b"0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []
        self.ended = False
        self.aborted = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.parts.append(bytes(data))

    def write_eof(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Told:
    """A request that hears of its end."""

    def __init__(self) -> None:
        self.heard: list[End | str] = []

    def ended(self, how: End) -> None:
        self.heard.append(how)

    def let_go(self) -> None:
        self.heard.append("free")


class Joined:
    """A link with a request on it that has been sent."""

    def __init__(self, *, kept: bool = False) -> None:
        self.client, self.engine, self.told = Written(), Written(), Told()
        self.pool: KeptLinks[EngineLink] = KeptLinks(1)
        self.link = EngineLink(self.pool)
        self.link.connection_made(self.engine)
        if kept:
            self.carry()
            self.link.send(b"first", last=True)
            self.link.data_received(OK)
            assert self.pool.take() is self.link
            self.told.heard.clear()
        self.carry()
        if kept:
            self.link.send_again(b"request")
        else:
            self.link.send(b"request", last=True)

    def carry(self) -> None:
        self.link.carry(self.told, self.client, correlation_id=b"mine", keep_alive=True)


FREED = ["free", End.WHOLE]


async def test_a_read_is_one_write_and_a_handful_of_calls() -> None:
    joined = Joined()
    joined.link.data_received(HEAD)
    before, calls = len(joined.client.parts), 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for _ in range(100):
            joined.link.data_received(TOKEN)
    finally:
        sys.setprofile(None)
    assert len(joined.client.parts) - before == 100
    # The read, the transport's write with its list, and the parser's look at the chunks.
    assert calls <= 100 * 7 + 2


async def test_an_end_is_seen_however_the_engine_cuts_it() -> None:
    whole = TOKEN + LAST
    for size in range(1, len(whole) + 1):
        joined = Joined()
        joined.link.data_received(HEAD)
        for start in range(0, len(whole), size):
            assert joined.told.heard == []
            joined.link.data_received(whole[start : start + size])
        assert joined.told.heard == FREED
        assert b"".join(joined.client.parts).endswith(b"\r\n\r\n" + whole)


async def test_a_last_chunk_inside_of_a_token_is_no_end() -> None:
    joined = Joined()
    joined.link.data_received(HEAD)
    joined.link.data_received(b"f\r\ndata: 10\r\n0\r\n\r\n")
    assert joined.told.heard == []
    joined.link.connection_lost(None)
    assert joined.told.heard == ["free", End.BROKEN]


async def test_a_whole_answer_leaves_its_connection_to_the_next_request() -> None:
    for answer in (OK, HEAD + TOKEN + LAST, b"HTTP/1.1 204 No Content\r\n\r\n"):
        joined = Joined()
        joined.link.data_received(answer)
        assert joined.told.heard == FREED
        assert joined.pool.take() is joined.link
        assert not joined.engine.ended
        joined.carry()
        joined.link.send_again(b"request")
        joined.link.data_received(HEAD + TOKEN)
        joined.link.data_received(LAST)
        assert joined.told.heard == FREED * 2
        assert joined.pool.take() is joined.link


async def test_an_engine_that_says_it_closes_is_waited_for() -> None:
    for line in (b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nConnection: a, Close"):
        joined = Joined()
        joined.link.data_received(OK.replace(b"HTTP/1.1 200 OK", line))
        assert joined.engine.ended
        assert joined.told.heard == []
        joined.link.connection_lost(None)
        assert joined.told.heard == FREED


async def test_nothing_is_kept_that_may_have_something_left_in_it() -> None:
    for answer in (
        HEAD + b"0\r\nA: trailer\r\n\r\n",
        HEAD + LAST + b"\r\n",
        HEAD + LAST + OK,
        HEAD + LAST + HEAD + LAST,
        HEAD + LAST + b"x",
        HEAD + b"no chunk\r\n" + LAST,
        OK + b"x",
    ):
        joined = Joined()
        joined.link.data_received(answer)
        assert joined.told.heard[-1] in (End.WHOLE, End.BROKEN)
        assert joined.pool.take() is None
        assert joined.engine.aborted or joined.engine.ended


async def test_an_answer_before_the_end_of_its_request_is_not_followed_by_another() -> None:
    joined = Joined()
    joined.carry()
    joined.link.send(b"half a request")
    joined.link.data_received(OK)
    assert joined.engine.ended
    joined.link.send(b"the rest", last=True)
    assert joined.engine.parts[-1] == b"half a request"
    joined.link.connection_lost(None)
    assert joined.told.heard == FREED
    assert joined.pool.take() is None


async def test_a_kept_connection_that_dies_unanswered_leaves_its_request_to_another() -> None:
    joined = Joined(kept=True)
    joined.link.connection_lost(ConnectionResetError())
    assert joined.told.heard == [End.STALE]
    assert joined.link.unanswered == b"request"


async def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    joined = Joined(kept=True)
    joined.link.data_received(b"H")
    assert not joined.link.unanswered
    joined.link.connection_lost(ConnectionResetError())
    assert joined.told.heard == ["free", End.BROKEN]
    fresh = Joined()
    fresh.link.connection_lost(ConnectionResetError())
    assert fresh.told.heard == ["free", End.BROKEN]


async def test_a_request_that_was_given_up_frees_its_slot_with_its_connection() -> None:
    joined = Joined(kept=True)
    joined.link.leave()
    assert joined.engine.ended
    joined.link.data_received(OK)
    assert joined.told.heard == []
    joined.link.connection_lost(None)
    assert joined.told.heard == ["free"]
    assert joined.pool.take() is None


async def test_bytes_that_nobody_asked_for_close_a_kept_connection() -> None:
    joined = Joined()
    joined.link.data_received(OK)
    joined.link.data_received(OK)
    assert joined.engine.aborted
    assert joined.pool.take() is None


async def test_a_slow_client_of_the_last_request_does_not_hold_up_the_next() -> None:
    joined = Joined()
    joined.link.data_received(HEAD)
    joined.link.flow(False)
    joined.link.data_received(LAST)  # It had been read already.
    assert joined.engine.reading
