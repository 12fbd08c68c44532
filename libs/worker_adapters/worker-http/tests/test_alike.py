"""Events that differ in one text are read as if each had been decoded."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from worker_http.alike import AlikeEvents

FIRST = b'{"id":"a","choices":[{"delta":{"content":" word"},"finish_reason":null}],"created":1}'
BEFORE, AFTER = FIRST.split(b" word")


def learned() -> AlikeEvents:
    alike = AlikeEvents()
    alike.learn(FIRST, " word")
    return alike


def event(text: str, *, ascii_only: bool = False) -> bytes:
    return BEFORE[:-1] + json.dumps(text, ensure_ascii=ascii_only).encode() + AFTER[1:]


@given(
    st.lists(st.tuples(st.text(), st.booleans()), min_size=1), st.lists(st.just(b"{}"), max_size=2)
)
def test_the_texts_of_a_read_are_those_of_its_events(
    texts: list[tuple[str, bool]], behind: list[bytes]
) -> None:
    read = learned().texts_of([*(event(text, ascii_only=plain) for text, plain in texts), *behind])
    if read is None:  # Left to others, which is right for any events.
        assert any(text.endswith("\\") for text, _ in texts)
    else:
        assert read == [text for text, _ in texts]
    for text, plain in texts:
        assert learned().text_of(event(text, ascii_only=plain)) == text


@given(st.lists(st.text(alphabet='",\\: {}]na', max_size=8), min_size=1, max_size=4))
def test_what_is_no_json_has_no_text(between_quotes: list[str]) -> None:
    events = [BEFORE + raw.encode() + AFTER for raw in between_quotes]
    for one in events:
        if text := learned().text_of(one):
            assert msgspec.json.decode(one)["choices"][0]["delta"]["content"] == text
    read = learned().texts_of(events)
    if read is not None:
        told = [msgspec.json.decode(one)["choices"][0]["delta"]["content"] for one in events]
        assert read == told


def test_an_event_with_more_is_not_alike() -> None:
    more = FIRST.replace(b'"finish_reason":null', b'"finish_reason":"stop"')
    assert learned().text_of(more) == ""
    assert learned().texts_of([FIRST, more, FIRST]) is None
    assert learned().texts_of([more, more]) is None
    assert learned().texts_of([FIRST, FIRST, more]) == [" word", " word"]
    assert learned().text_of(BEFORE[:-1] + AFTER) == ""
    assert learned().texts_of([BEFORE[:-1] + AFTER]) is None


def test_nothing_is_learned_where_the_text_cannot_be_told_from_others() -> None:
    alike = AlikeEvents()
    alike.learn(b'{"content":"a","message":{"content":"a"}}', "a")
    alike.learn(b'{"content":"a"}', "b")
    assert alike.text_of(b'{"content":"a"}') == ""


def test_an_engine_whose_events_always_differ_is_not_learned_from_for_ever() -> None:
    alike = AlikeEvents()
    for number in range(10):
        alike.learn(b'{"content":"a","number":%d}' % number, "a")
    assert alike.text_of(b'{"content":"b","number":3}') == "b"
    alike.learn(b'{"content":"a"}', "a")
    assert alike.text_of(b'{"content":"b"}') == "b"
