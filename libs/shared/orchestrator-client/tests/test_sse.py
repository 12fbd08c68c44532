from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_client import ProtocolError
from orchestrator_client.sse import SseFrame, SseParser

STREAM = (
    '\ufeff: a comment\n\nid: 1\nevent: token\ndata: {"t": "wörld"}\n\n'
    "data: two\r\ndata:lines\r\nid: 2\r\n\r\nid: 3\rdata: old\r\rdata\n\nretry: 5\nid: x\0\n"
    "data: 🐑\n\nevent: empty\n\ndata: cut off"
).encode()
FRAMES = [
    SseFrame("token", '{"t": "wörld"}', "1"),
    SseFrame("message", "two\nlines", "2"),
    SseFrame("message", "old", "3"),
    SseFrame("message", "", None),
    SseFrame("message", "🐑", None),
]


def parse(*chunks: bytes) -> list[SseFrame]:
    parser = SseParser()
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


def test_frames_are_parsed_as_the_standard_says() -> None:
    assert parse(STREAM) == FRAMES


def test_a_stream_split_in_two_at_any_byte_gives_the_same_frames() -> None:
    for at in range(len(STREAM) + 1):
        assert parse(STREAM[:at], STREAM[at:]) == FRAMES, at


def test_a_stream_fed_byte_by_byte_gives_the_same_frames() -> None:
    assert parse(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == FRAMES


lines = st.lists(
    st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8),
    min_size=1,
    max_size=3,
)


@given(
    st.lists(lines, max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_any_frames_split_anywhere_come_out_whole_and_in_order(
    frames: list[list[str]], newline: str, cuts: list[int]
) -> None:
    wire = "".join(
        f"id: {i}{newline}" + "".join(f"data: {line}{newline}" for line in data) + newline
        for i, data in enumerate(frames)
    ).encode()
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    chunks = [wire[a:b] for a, b in pairwise(places)]
    assert parse(*chunks) == [
        SseFrame("message", "\n".join(data), str(i)) for i, data in enumerate(frames)
    ]


def test_a_cut_never_yields_half_a_frame() -> None:
    wire = b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n"
    for at in range(len(wire)):
        assert parse(wire[:at]) == parse(wire)[: wire[:at].count(b"\n\n")]


def test_an_endless_frame_is_refused() -> None:
    parser = SseParser(max_frame_bytes=100)
    parser.feed(b"data: " + b"x" * 60 + b"\n")
    with pytest.raises(ProtocolError, match="larger than 100 bytes"):
        parser.feed(b"data: " + b"x" * 60)
