"""Where a chunked body ends."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_managerd.relay.chunks import BadChunks, ChunkedBodies

END = b"0\r\n\r\n"


def written(chunks: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + END


def pieces_of(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
    return [body[start:end] for start, end in pairwise(places)]


chunk = st.one_of(
    st.binary(min_size=1, max_size=40),
    # What looks like an end, or like the next answer.
    st.sampled_from([END, b"\r\n" + END, b"5\r\n" + END, b"HTTP/1.1 200 OK\r\n\r\n"]),
)
bodies = st.lists(
    st.tuples(st.lists(chunk, max_size=5), st.lists(st.integers(0, 999), max_size=6)),
    min_size=1,
    max_size=3,
)


@given(bodies)
def test_a_body_ends_with_its_last_byte_whatever_is_in_it_and_however_it_is_cut(
    bodies: list[tuple[list[bytes], list[int]]],
) -> None:
    followed = ChunkedBodies()
    for chunks, cuts in bodies:  # One after the other through the same connection.
        followed.begin()
        *parts, last = pieces_of(written(chunks), cuts)
        for part in parts:
            followed.feed(part)
            assert not followed.seen.ended
        followed.feed(last)
        assert (followed.seen.begun, followed.seen.ended) == (1, 1)


@pytest.mark.parametrize(
    "bad",
    [
        b"x\r\n",
        b"-1\r\n",
        b"2\r\nabc\r\n",
        b"2\nab\r\n" + END,
        b"ffffffffffffffffff\r\n",
        END + b"x",
    ],
)
def test_what_breaks_the_framing_is_refused(bad: bytes) -> None:
    followed = ChunkedBodies()
    followed.begin()
    with pytest.raises(BadChunks):
        followed.feed(bad)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
        b"HTTP/1.1 2",
    ],
)
def test_an_answer_that_follows_the_body_is_counted(answer: bytes) -> None:
    followed = ChunkedBodies()
    followed.begin()
    followed.feed(END + answer)
    assert followed.seen.begun == 2
