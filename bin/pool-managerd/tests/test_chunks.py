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
        assert [followed.ends_with(part) for part in parts] == [False] * len(parts)
        assert followed.ends_with(last)


@pytest.mark.parametrize(
    "bad",
    [
        b"x\r\n",
        b"-1\r\n",
        b"2\r\nabc\r\n",
        b"2\nab\r\n" + END,
        b"ffffffffffffffffff\r\n",
        END + b"x",
        END + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        END + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    ],
)
def test_what_breaks_the_framing_or_follows_the_body_is_refused(bad: bytes) -> None:
    followed = ChunkedBodies()
    followed.begin()
    with pytest.raises(BadChunks):
        followed.ends_with(bad)
