"""The decoder gives the same events wherever the bytes are split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_api import EngineProtocolError
from worker_http import SseDecoder, SseEvent

STREAM = (
    b"\xef\xbb\xbf: a comment\n"
    b"data: one\n\n"
    b"event: note\r\ndata:two\r\ndata:  lines\r\n\r\n"
    b"data: caf\xc3\xa9\r\rid: 7\nretry: 10\ndata\n\n"
    b"event: empty\n\n"
    b"data: last\n\ndata: never ended"
)
EVENTS: list[SseEvent] = [
    (b"", b"one"),
    (b"note", b"two\n lines"),
    (b"", b"caf\xc3\xa9"),
    (b"", b""),
    (b"", b"last"),
]


def decode(*chunks: bytes) -> list[SseEvent]:
    return decode_all(SseDecoder(), list(chunks))


def decode_all(decoder: SseDecoder, chunks: list[bytes]) -> list[SseEvent]:
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def test_a_whole_stream_is_decoded() -> None:
    assert decode(STREAM) == EVENTS


def test_a_split_at_any_byte_changes_nothing() -> None:
    for cut in range(len(STREAM) + 1):
        assert decode(STREAM[:cut], STREAM[cut:]) == EVENTS, cut
    assert decode(*(bytes([byte]) for byte in STREAM)) == EVENTS


@given(
    st.lists(st.sampled_from([b"data", b":", b" ", b"\r", b"\n", b"\r\n", b"x", b"event: e"])),
    st.lists(st.integers(0, 60)),
)
def test_any_split_of_any_bytes_gives_the_same_events(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    borders = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    chunks = [stream[start:end] for start, end in pairwise(borders)]
    assert decode(*chunks) == decode(stream)


def test_an_event_that_ends_with_a_lone_cr_is_given_at_once() -> None:
    assert decode(b"data: x\r\r") == [(b"", b"x")]


@pytest.mark.parametrize("piece", [b"x" * 40, b"data: yyyy\n" * 5, b": c" * 30])
def test_an_event_without_bound_is_refused(piece: bytes) -> None:
    decoder = SseDecoder(max_event_bytes=200)
    with pytest.raises(EngineProtocolError, match="200 bytes"):
        decode_all(decoder, [piece] * 10)


def test_the_bound_is_for_one_event_not_for_the_stream() -> None:
    decoder = SseDecoder(max_event_bytes=100)
    assert sum(len(decoder.feed(b"data: " + b"x" * 50 + b"\n\n")) for _ in range(100)) == 100


def test_comments_do_not_add_up() -> None:
    decoder = SseDecoder(max_event_bytes=100)
    for _ in range(100):
        assert decoder.feed(b": still here\n") == []
