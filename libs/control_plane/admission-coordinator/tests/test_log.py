"""The event log and its cursors."""

import asyncio
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admission_coordinator import EventLog
from admission_coordinator.testing import Frame, parse


async def read(log: EventLog, after_id: int = 0) -> list[Frame]:
    cursor = log.open(after_id=after_id)
    assert cursor is not None
    frames = parse(await cursor.read(timeout_s=0.01))
    cursor.close()
    return frames


async def test_a_replay_has_of_the_metrics_only_the_newest() -> None:
    log = EventLog(max_bytes=100_000)
    log.append("started", {"attempt": 1})
    for position in (3, 2, 1):
        log.append_metrics({"queue_position": position})
    log.append_tokens("hi", 0, 1)
    frames = await read(log)
    assert [(f.id, f.event) for f in frames] == [(1, "started"), (4, "metrics"), (5, "token")]
    assert frames[1].data == {"queue_position": 1}


async def test_verbose_adds_fields_and_no_frames() -> None:
    from admission_coordinator.frames import native_verbose

    log = EventLog(max_bytes=100_000)
    log.append_metrics({"queue_position": 1}, human="number 1 of 1 waiting")
    plain, verbose = log.open(), log.open(dialect=native_verbose)
    assert plain is not None
    assert verbose is not None
    without = parse(await plain.read(timeout_s=1))
    with_words = parse(await verbose.read(timeout_s=1))
    assert without[0].data == {"queue_position": 1}
    assert with_words[0].data == {"queue_position": 1, "human": "number 1 of 1 waiting"}
    assert [f.id for f in without] == [f.id for f in with_words]


async def test_a_sealed_log_takes_only_the_terminal_frame_and_live_cursors_skip_to_it() -> None:
    log = EventLog(max_bytes=100_000)
    log.append_tokens("a", 0, 1)
    cursor = log.open()
    assert cursor is not None
    log.seal()
    log.append_tokens("b", 1, 1)
    log.finish("error", {"code": "CANCELED"}, skip=True)
    assert [f.event for f in parse(await cursor.read(timeout_s=1))] == ["error"]
    assert cursor.ended
    assert [f.event for f in await read(log)] == ["token", "error"]


async def test_a_second_terminal_frame_is_a_bug() -> None:
    log = EventLog(max_bytes=100_000)
    log.finish("end", {})
    with pytest.raises(RuntimeError, match="exactly one"):
        log.finish("end", {})


async def test_a_waiting_reader_wakes_for_a_frame_and_otherwise_returns_nothing_in_time() -> None:
    log = EventLog(max_bytes=100_000)
    cursor = log.open()
    assert cursor is not None
    assert await cursor.read(timeout_s=0.001) == b""
    waiting = asyncio.ensure_future(cursor.read(timeout_s=10))
    await asyncio.sleep(0)
    log.append_tokens("now", 0, 1)
    assert b'"t":"now"' in await waiting


async def test_a_frame_that_the_next_follows_at_once_wakes_nobody_alone() -> None:
    log = EventLog(max_bytes=100_000)
    cursor = log.open()
    assert cursor is not None
    taken: list[bytes] = []
    cursor.follow(lambda: taken.append(cursor.take()))
    log.append_tokens("the end", 0, 2, quiet=True)
    assert taken == []
    log.finish("end", {})
    (both,) = taken
    assert [frame.event for frame in parse(both)] == ["token", "end"]


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=60),
    max_bytes=st.integers(200, 5_000),
)
def test_the_log_stays_within_its_bytes_and_keeps_the_newest(
    texts: list[str], max_bytes: int
) -> None:
    log = EventLog(max_bytes=max_bytes)
    for index, text in enumerate(texts):
        log.append_tokens(text, index, 1)
        assert log.size_bytes <= max(max_bytes, 200)
        assert log.oldest_id <= log.next_id - 1
    assert log.next_id == len(texts) + 1


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_every_cut_resumes_without_a_lost_or_doubled_frame(texts: list[str]) -> None:
    async def play() -> None:
        log = EventLog(max_bytes=1_000_000)
        for index, text in enumerate(texts):
            log.append_tokens(text, index, 1)
        log.finish("end", {})
        whole = await read(log)
        assert "".join(f.data["t"] for f in whole[:-1]) == "".join(texts)
        for cut in range(len(whole) - 1):
            assert whole[: cut + 1] + await read(log, whole[cut].id) == whole

    asyncio.run(play())


def test_a_closed_cursor_lets_go_of_its_reader_without_a_look_at_garbage() -> None:
    class Reader:
        def __init__(self, log: EventLog) -> None:
            self.cursor = log.open(on_close=self.read)
            assert self.cursor is not None
            self.cursor.follow(self.read)

        def read(self) -> None:
            """Nothing is read here."""

    reader = Reader(EventLog(max_bytes=1_000))
    seen = weakref.ref(reader)
    assert reader.cursor is not None
    reader.cursor.close()
    del reader
    assert seen() is None
