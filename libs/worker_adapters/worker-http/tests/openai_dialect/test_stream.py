"""A recorded stream gives the same events wherever its reads are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_api import (
    AdapterError,
    EngineEvent,
    EngineFailed,
    EngineFinish,
    EngineProtocolError,
    EngineRefused,
    EngineReset,
    Progress,
    Tokens,
)
from worker_http.openai_dialect import StreamReader

USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":6,"completion_tokens":4,"total_tokens":10,'
    b'"prompt_tokens_details":{"cached_tokens":2}}}\n\n'
)
CHAT = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},'
    b'"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"reasoning":"hm"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":" \xf0\x9f\xa6\x99"}}],"usage":null}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":'
    b'{"name":"f","arguments":"{"}}]}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n'
    + USAGE
    + b"data: [DONE]\n\n"
)
COMPLETION = (
    b'data: {"choices":[{"index":0,"text":"","finish_reason":null}],'
    b'"prompt_progress":{"total":6,"processed":6}}\n\n'
    b'data: {"choices":[{"index":0,"text":" na\xc3\xafve","logprobs":{"tokens":[" na\xc3\xafve"],'
    b'"token_logprobs":[-0.5],"top_logprobs":[{" x":-1.5}],"text_offset":[0]}}]}\n\n'
    b": ping\n\n"
    b'data: {"choices":[{"index":0,"text":"!","finish_reason":"stop"}]}\n\n' + USAGE
)


def read(*reads: bytes) -> tuple[list[EngineEvent], EngineFinish]:
    events: list[EngineEvent] = []
    reader = StreamReader(events.append, seed=5)
    for part in reads:
        reader.feed(part)
    return events, reader.end()


def test_a_chat_brings_text_reasoning_and_tool_calls() -> None:
    events, finish = read(CHAT)
    call = {"index": 0, "function": {"name": "f", "arguments": "{"}}
    assert events == [Tokens(("", " 🦙", ""), ({"reasoning": "hm"}, None, {"tool_calls": [call]}))]
    assert finish == EngineFinish(
        finish_reason="tool_calls", tokens_in=6, tokens_out=4, seed=5, tokens_cached=2
    )


def test_log_probabilities_have_one_form_whichever_came() -> None:
    events, finish = read(COMPLETION)
    entry = {
        "token": " naïve",
        "logprob": -0.5,
        "top_logprobs": [{"token": " x", "logprob": -1.5}],
    }
    assert events == [Progress(6, 6), Tokens((" naïve", "!"), ({"logprobs": [entry]}, None))]
    assert finish.finish_reason == "stop"


@pytest.mark.parametrize("stream", [CHAT, COMPLETION])
def test_a_split_at_any_byte_changes_no_piece(stream: bytes) -> None:
    whole, finish = read(stream)
    for cut in range(len(stream) + 1):
        events, same = read(stream[:cut], stream[cut:])
        assert pieces(events) == pieces(whole), cut
        assert same == finish


def pieces(events: list[EngineEvent]) -> list[object]:
    found: list[object] = []
    for event in events:
        if isinstance(event, Tokens):
            found += zip(event.pieces, event.extras or [None] * len(event.pieces), strict=True)
    return found


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (b'data: {"choices":[{"text":"","finish_reason":"abort"}]}\n\n' + USAGE, EngineReset),
        (b'data: {"choices":[{"text":"","finish_reason":"stop"}]}\n\n', EngineReset),
        (b"data: [DONE]\n\n", EngineReset),
        (USAGE, EngineReset),
        (b'data: {"choices":[{"text":"","finish_reason":"error"}]}\n\n', EngineFailed),
        (b'data: {"choices":[{"text":"","finish_reason":"wat"}]}\n\n', EngineProtocolError),
        (b'data: {"error":{"message":"x","code":500}}\n\n', EngineFailed),
        (b'data: {"error":{"message":"x","code":"overloaded"}}\n\n', EngineFailed),
        (b'data: {"error":"Request failed","error_type":"generation"}\n\n', EngineFailed),
        (b'data: {"error":{"message":"too long","code":400}}\n\n', EngineRefused),
    ],
)
def test_a_200_is_no_success_and_the_tokens_before_are_kept(
    last: bytes, kind: type[AdapterError]
) -> None:
    events: list[EngineEvent] = []
    reader = StreamReader(events.append, seed=None)

    def whole() -> None:
        reader.feed(b'data: {"choices":[{"text":"a"}]}\n\n' + last)
        reader.end()

    with pytest.raises(kind) as raised:
        whole()
    assert type(raised.value) is kind
    assert events == [Tokens(("a",))]


@given(garbage=st.binary(max_size=60))
def test_garbage_is_a_protocol_error_and_nothing_worse(garbage: bytes) -> None:
    reader = StreamReader(lambda _: None, seed=1)
    try:
        reader.feed(b"data: " + garbage + b"\n\n")
    except EngineProtocolError:
        assert not garbage.strip().startswith(b'{"choices"')
    except EngineFailed:
        assert b"error" in garbage, "only an engine that says so has failed"
