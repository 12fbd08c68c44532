"""What a task's log says, as chunks and as whole answers."""

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from admission_coordinator import EventLog
from orchestratord.openai.answers import ChatCompletion as ChatModel
from orchestratord.openai.answers import Embeddings, Ranking, TextCompletion
from orchestratord.openai.chunks import ChatStyle, Chunks, CompletionStyle, Style
from orchestratord.openai.collected import (
    Collected,
    chat_answer,
    completion_answer,
    embedding_answer,
    rerank_answer,
)
from orchestratord.openai.shapes import Heading

END = {"tokens_in": 5, "tokens_out": 3, "finish_reason": "stop", "pool_id": "default"}
HEADING = Heading(
    id="chatcmpl-1",
    created_s=7,
    model="m",
    engine=lambda: "llamacpp-b6000",
)


def entry(token: str, *others: str) -> dict[str, Any]:
    tops = [{"token": other, "logprob": -1.0, "bytes": []} for other in (token, *others)]
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": tops}


def call(index: int, arguments: str, **first: str) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": first["name"]} if "name" in first else {})}
    found: dict[str, Any] = {"index": index, "function": function}
    return found | ({"id": first["id"], "type": "function"} if "id" in first else {})


def log_of(*frames: Any, end: dict[str, Any] | None = None) -> EventLog:
    """A whole log: texts are plain tokens, pairs are tokens with extras."""
    log = EventLog(max_bytes=1 << 20)
    log.append("started", {"task_id": "1", "queue_position": 1})
    log.append_metrics({"queue_position": 0, "pool_id": "default"})
    for index, frame in enumerate(frames):
        if isinstance(frame, str):
            log.append_tokens(frame, index, 1)
        elif isinstance(frame, tuple):
            log.append("token", {"t": frame[0], "i": index, "x": frame[1]})
        else:
            log.append("result", frame)
    log.finish("end", END | (end or {}))
    return log


def streamed(log: EventLog, style: Style, *, include_usage: bool = False) -> list[Any]:
    """The chunks of a log; the last one must be the mark of the end."""
    chunks = Chunks(HEADING, style, include_usage=include_usage, correlation_id="c-1")
    _, raw = log.collect(1, dialect=chunks, max_bytes=1 << 20)
    *events, done, nothing = raw.decode().split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def collected(log: EventLog) -> Collected:
    kept = Collected()
    _, raw = log.collect(1, dialect=kept, max_bytes=1 << 20)
    assert raw == b""
    return kept


def whole_chat(*frames: Any, top: int = 0, **end: Any) -> dict[str, Any]:
    answer = chat_answer(HEADING, collected(log_of(*frames, end=end)), top_logprobs=top)
    ChatModel.model_validate_json(json.dumps(answer), strict=True)
    ChatCompletion.model_validate(answer)
    return answer


def test_text_becomes_one_chunk_a_read_between_a_role_and_a_reason() -> None:
    texts = ["Hel", 'lo "\n', "🦙\u2028</script>"]
    opening, *told, last = streamed(log_of(*texts), ChatStyle(top_logprobs=0))
    for chunk in (opening, *told, last):
        ChatCompletionChunk.model_validate(chunk)
        assert chunk["system_fingerprint"] == "llamacpp-b6000"
        assert "usage" not in chunk
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["delta"] for chunk in told] == [{"content": t} for t in texts]
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")


def test_usage_is_the_last_chunk_and_null_before() -> None:
    *others, last = streamed(log_of("a"), ChatStyle(top_logprobs=0), include_usage=True)
    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def test_an_answer_without_a_token_still_has_its_role_and_reason() -> None:
    opening, last = streamed(log_of(), ChatStyle(top_logprobs=0))
    assert opening["choices"][0]["delta"]["role"] == "assistant"
    assert last["choices"][0]["finish_reason"] == "stop"
    assert whole_chat()["choices"][0]["message"]["content"] == ""


def test_reasoning_and_tool_calls_are_carried_in_both_forms() -> None:
    frames = (
        ("", {"reasoning": "I should "}),
        ("", {"reasoning": "look."}),
        "Well: ",
        ("", {"tool_calls": [call(0, "", id="c1", name="look")]}),
        ("", {"tool_calls": [call(0, '{"at":')]}),
        ("", {"tool_calls": [call(0, "1}"), call(1, "{}", id="c2", name="hear")]}),
    )
    end = {"finish_reason": "tool_calls"}
    chunks = streamed(log_of(*frames, end=end), ChatStyle(top_logprobs=0))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "I should look."
    assert [d["tool_calls"] for d in deltas if "tool_calls" in d] == [
        extras["tool_calls"] for _, extras in frames[3:]
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    choice = whole_chat(*frames, **end)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Well: ",
        "refusal": None,
        "reasoning_content": "I should look.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
            {"id": "c2", "type": "function", "function": {"name": "hear", "arguments": "{}"}},
        ],
    }


def test_a_message_of_nothing_but_calls_has_no_content() -> None:
    answer = whole_chat(("", {"tool_calls": [call(0, "{}", id="c", name="look")]}))
    assert answer["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize("top", [0, 1, 2])
def test_log_probabilities_have_as_many_alternatives_as_asked(top: int) -> None:
    frames = [(token, {"logprobs": [entry(token, "x", "y")]}) for token in ("a", "b")]
    chunks = streamed(log_of(*frames), ChatStyle(top_logprobs=top))
    told = [c["choices"][0]["logprobs"] for c in chunks if c["choices"][0]["logprobs"]]
    content = [found for logprobs in told for found in logprobs["content"]]
    assert [found["token"] for found in content] == ["a", "b"]
    assert {len(found["top_logprobs"]) for found in content} == {top}
    whole = whole_chat(*frames, top=top)["choices"][0]["logprobs"]
    assert whole == {"content": content, "refusal": None}


def test_a_completion_is_told_alike_in_both_forms() -> None:
    frames = [(t, {"logprobs": [entry(t, "x")]}) for t in ("He", "llo")]
    chunks = streamed(log_of(*frames), CompletionStyle(top_logprobs=1))
    answer = completion_answer(HEADING, collected(log_of(*frames)), top_logprobs=1)
    TextCompletion.model_validate_json(json.dumps(answer), strict=True)
    for chunk in (*chunks, answer):
        if chunk["choices"][0]["finish_reason"]:
            Completion.model_validate(chunk)
    choice = answer["choices"][0]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == choice["text"] == "Hello"
    told = [c["choices"][0]["logprobs"] for c in chunks if c["choices"][0]["logprobs"]]
    for column, values in choice["logprobs"].items():
        assert [value for logprobs in told for value in logprobs[column]] == values
    assert choice["logprobs"]["text_offset"] == [0, 2]
    assert choice["logprobs"]["top_logprobs"] == [{"He": -1.0}, {"llo": -1.0}]


def test_a_completion_of_plain_text_has_no_role() -> None:
    chunks = streamed(log_of("a", "b"), CompletionStyle(top_logprobs=0))
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["a", "b", ""]


def test_vectors_are_numbers_or_packed_floats() -> None:
    kept = collected(log_of({"embeddings": [[0.5, -1.0], [2.0, 0.25]]}, end={"tokens_out": 0}))
    plain = embedding_answer(HEADING, kept, as_base64=False)
    packed = embedding_answer(HEADING, kept, as_base64=True)
    for answer in (plain, packed):
        Embeddings.model_validate_json(json.dumps(answer), strict=True)
        assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    CreateEmbeddingResponse.model_validate(plain)
    assert [row["embedding"] for row in plain["data"]] == [[0.5, -1.0], [2.0, 0.25]]
    assert struct.unpack("<2f", base64.b64decode(packed["data"][1]["embedding"])) == (2.0, 0.25)


def test_a_ranking_is_cut_and_may_carry_its_texts() -> None:
    ranking = [{"index": i, "relevance_score": s} for i, s in ((2, 0.9), (0, 0.5), (1, 0.1))]
    kept = collected(log_of({"ranking": ranking}))
    short = rerank_answer(HEADING, kept, texts=None, top_n=1)
    full = rerank_answer(HEADING, kept, texts=("a", "b", "c"), top_n=None)
    for answer in (short, full):
        Ranking.model_validate_json(json.dumps(answer), strict=True)
    assert short["results"] == ranking[:1]
    assert [found["document"]["text"] for found in full["results"]] == ["c", "a", "b"]
