"""A recorded stream gives the same events wherever its reads are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_api import (
    AdapterError,
    EngineEvent,
    EngineFailed,
    EngineFinish,
    EngineProtocolError,
    EngineReset,
    Progress,
    Tokens,
)
from llamacpp_http.stream import ChatReader, CompletionReader, StreamReader

COMPLETION = (
    b'data: {"index":0,"content":"","tokens":[0],"stop":false,"id_slot":-1,"tokens_predicted":0,'
    b'"tokens_evaluated":6,"prompt_progress":{"total":6,"cache":0,"processed":6,"time_ms":0}}\n\n'
    b'data: {"index":0,"content":" na\xc3\xafve","tokens":[260],"stop":false,"id_slot":-1}\n\n'
    b": still here\n\n"
    b'data: {"index":0,"content":"","tokens":[261],"stop":false,"id_slot":-1}\n\n'
    b'data: {"index":0,"content":" \xf0\x9f\xa6\x99","tokens":[262],"stop":false}\n\n'
    b'data: {"index":0,"content":"","tokens":[],"id_slot":1,"stop":true,"tokens_predicted":4,'
    b'"tokens_evaluated":6,"truncated":false,"stop_type":"eos","stopping_word":"",'
    b'"timings":{"cache_n":2,"prompt_n":4,"prompt_ms":0.5,"predicted_n":4,"predicted_ms":1.5}}\n\n'
)
CHAT = (
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant",'
    b'"content":null}}],"prompt_progress":{"total":6,"cache":0,"processed":6,"time_ms":0}}\n\n'
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'
    b'data: {"choices":[{"finish_reason":null,"index":0,'
    b'"delta":{"content":" \xf0\x9f\xa6\x99"}}]}\n\n'
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,'
    b'"id":"x","type":"function","function":{"name":"f","arguments":"{"}}]}}]}\n\n'
    b'data: {"choices":[{"finish_reason":"tool_calls","index":0,"delta":{}}]}\n\n'
    b'data: {"choices":[],"usage":{"completion_tokens":4,"prompt_tokens":6},'
    b'"timings":{"cache_n":2,"prompt_ms":0.5,"predicted_ms":1.5}}\n\n'
    b"data: [DONE]\n\n"
)


def read(kind: type[StreamReader], *reads: bytes) -> tuple[list[EngineEvent], EngineFinish]:
    events: list[EngineEvent] = []
    reader = kind(events.append, seed=5)
    for part in reads:
        reader.feed(part)
    return events, reader.end()


def test_all_tokens_of_one_read_come_as_one_event() -> None:
    events, finish = read(CompletionReader, COMPLETION)
    assert events == [Progress(6, 6), Tokens((" naïve", " 🦙"))]
    assert finish == EngineFinish(
        finish_reason="stop",
        tokens_in=6,
        tokens_out=4,
        seed=5,
        prompt_ms=0.5,
        decode_ms=1.5,
        tokens_cached=2,
    )


def test_reasoning_and_tool_calls_travel_beside_the_text() -> None:
    events, finish = read(ChatReader, CHAT)
    call = {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": "{"}}
    assert events == [
        Progress(6, 6),
        Tokens(("", " 🦙", ""), ({"reasoning": "hm"}, None, {"tool_calls": [call]})),
    ]
    assert (finish.finish_reason, finish.tokens_in, finish.tokens_out) == ("tool_calls", 6, 4)


@pytest.mark.parametrize(("kind", "stream"), [(CompletionReader, COMPLETION), (ChatReader, CHAT)])
def test_a_split_at_any_byte_changes_no_piece(kind: type[StreamReader], stream: bytes) -> None:
    whole, finish = read(kind, stream)
    for cut in range(len(stream) + 1):
        events, same = read(kind, stream[:cut], stream[cut:])
        assert pieces(events) == pieces(whole), cut
        assert same == finish
    events, _ = read(kind, *(bytes([byte]) for byte in stream))
    assert pieces(events) == pieces(whole)


def pieces(events: list[EngineEvent]) -> list[object]:
    found: list[object] = []
    for event in events:
        if isinstance(event, Tokens):
            found += zip(event.pieces, event.extras or [None] * len(event.pieces), strict=True)
    return found


def test_a_read_without_a_token_does_not_count_as_life() -> None:
    reader = CompletionReader(lambda _: None, seed=1)
    lines = COMPLETION.split(b"\n\n")
    assert not reader.feed(lines[0] + b"\n\n")
    assert reader.feed(lines[1] + b"\n\n")
    assert not reader.feed(lines[2] + b"\n\n")


def test_a_stream_without_its_last_event_is_a_reset() -> None:
    with pytest.raises(EngineReset):
        read(CompletionReader, COMPLETION[: COMPLETION.rindex(b"data:")])
    with pytest.raises(EngineReset):
        read(ChatReader, CHAT[: CHAT.index(b'data: {"choices":[],')])


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (b'"stop_type":"eos","truncated":false', "stop"),
        (b'"stop_type":"word","truncated":false', "stop"),
        (b'"stop_type":"limit","truncated":false', "length"),
        (b'"stop_type":"limit","truncated":true', "length"),
        (b'"stop_type":"none","truncated":true', "length"),
    ],
)
def test_only_a_whole_text_ends_with_stop(last: bytes, reason: str) -> None:
    event = b'data: {"stop":true,"tokens_predicted":1,"tokens_evaluated":1,' + last + b"}\n\n"
    assert read(CompletionReader, event)[1].finish_reason == reason


@pytest.mark.parametrize("kind", [CompletionReader, ChatReader])
def test_tokens_before_an_error_are_kept(kind: type[StreamReader]) -> None:
    events: list[EngineEvent] = []
    reader = kind(events.append, seed=1)
    token = (
        b'data: {"content":"a"}\n\n'
        if kind is CompletionReader
        else b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    )
    with pytest.raises(EngineFailed):
        reader.feed(token + b'data: {"error":{"code":500,"message":"x"}}\n\n')
    assert events == [Tokens(("a",))]


@pytest.mark.parametrize("kind", [CompletionReader, ChatReader])
@given(garbage=st.binary(max_size=60))
def test_garbage_is_a_protocol_error_and_nothing_worse(
    kind: type[StreamReader], garbage: bytes
) -> None:
    reader = kind(lambda _: None, seed=1)
    try:
        reader.feed(b"data: " + garbage + b"\n\n")
    except EngineProtocolError:
        assert not garbage.strip().startswith(b'{"content"')
    except AdapterError:
        assert b"error" in garbage, "only an engine that says so has failed"


@pytest.mark.parametrize("stream", [COMPLETION, COMPLETION.partition(b": still")[0]])
def test_tokens_are_the_last_only_where_the_whole_response_and_its_finish_are_there(
    stream: bytes,
) -> None:
    events: list[EngineEvent] = []
    CompletionReader(events.append, seed=1).feed(stream)
    CompletionReader(events.append, seed=1).feed_last(stream)
    told = [event.last for event in events if isinstance(event, Tokens)]
    assert told == [False, stream is COMPLETION]


_events = st.one_of(
    st.builds(lambda text: {"content": text}, st.text(max_size=4)),
    st.just({"content": "p", "completion_probabilities": [{"token": "p"}]}),
    st.just({"prompt_progress": {"total": 4, "processed": 2}}),
    st.just({"content": "", "stop": True, "tokens_predicted": 3, "tokens_evaluated": 2}),
    st.just({"content": "last", "stop": True, "tokens_predicted": 3, "tokens_evaluated": 2}),
    st.just({"content": "", "stop": True}),
    st.just({"error": {"code": 500, "message": "broken"}}),
    st.just([]),
)
_choices = st.one_of(
    st.builds(lambda text: {"delta": {"content": text}}, st.text(max_size=4)),
    st.just({"delta": {"reasoning_content": "hm"}}),
    st.just({"delta": {"content": "l"}, "logprobs": {"content": [{"token": "l"}]}}),
    st.just({"delta": {}, "finish_reason": "stop"}),
    st.just({"delta": {"content": "end"}, "finish_reason": "length"}),
)
_chat_events = st.one_of(
    st.builds(lambda choices: {"choices": choices}, st.lists(_choices, max_size=2)),
    st.just({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}),
    st.just("[DONE]"),
)
_plain_events = st.builds(
    lambda text: {"choices": [{"delta": {"content": text}}]}, st.text(min_size=1, max_size=4)
)


@given(
    stream=st.one_of(
        st.tuples(st.just(CompletionReader), st.lists(_events, min_size=1, max_size=6)),
        st.tuples(st.just(ChatReader), st.lists(_chat_events, min_size=1, max_size=6)),
        st.tuples(
            st.just(ChatReader),
            st.builds(
                lambda alike, others: [*alike, *others],
                st.lists(_plain_events, min_size=4, max_size=8),
                st.lists(st.one_of(_plain_events, _chat_events), max_size=4),
            ),
        ),
    )
)
def test_a_whole_read_is_taken_at_once_as_its_events_are_one_by_one(
    stream: tuple[type[StreamReader], list[object]],
) -> None:
    kind, events = stream
    data = [event if event == "[DONE]" else json.dumps(event) for event in events]
    read = "".join(f"data: {line}\n\n" for line in data).encode()
    # A comment makes it a read of which nothing can be split at once.
    assert _taken(kind, read) == _taken(kind, b": slow\n" + read)


def _taken(kind: type[StreamReader], read: bytes) -> tuple[list[object], object, str]:
    seen: list[object] = []
    reader = kind(seen.append, seed=1)
    failure = ""
    try:
        reader.feed(read)
    except AdapterError as error:
        failure = repr(error)
    return seen, reader.finish, failure
