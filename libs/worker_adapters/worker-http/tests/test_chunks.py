"""What a read brought is decoded as a whole, and event by event where that fails."""

import msgspec
import pytest

from worker_http import decoded

DECODER = msgspec.json.Decoder(dict[str, int])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_each_event_gives_its_chunk(count: int) -> None:
    events = [b'{"n": %d}' % number for number in range(count)]
    assert list(decoded(DECODER, events)) == [{"n": number} for number in range(count)]


def test_an_event_of_several_lines_is_one_chunk() -> None:
    assert list(decoded(DECODER, [b'{"n":\n 1}', b'{"n": 2}'])) == [{"n": 1}, {"n": 2}]


def test_what_came_before_a_bad_event_counts() -> None:
    chunks = iter(decoded(DECODER, [b'{"n": 1}', b"{", b'{"n": 3}']))
    assert next(chunks) == {"n": 1}
    with pytest.raises(msgspec.DecodeError):
        next(chunks)
