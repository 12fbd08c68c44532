"""The real `openai` package, unchanged, against a real engine."""

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest

from demo_model import DEMO, expected_relevance

MESSAGES: Any = [{"role": "user", "content": "Who are you?"}]
SHORT: Any = {"model": "demo", "max_tokens": 12, "temperature": 0}
TEXT = DEMO.expected_text(12)


def test_a_chat_answers_with_the_whole_text_and_true_usage(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(messages=MESSAGES, **SHORT)
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == TEXT
    assert choice.finish_reason == "length"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model.startswith("demo-")
    assert (answer.system_fingerprint or "").startswith("llamacpp-")
    usage = answer.usage
    assert usage is not None
    assert usage.completion_tokens == 12
    assert usage.prompt_tokens > len("user: Who are you?")
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def test_async_and_sync_say_the_same(async_client: openai.AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(messages=MESSAGES, **SHORT)
    assert answer.choices[0].message.content == TEXT
    completion = await async_client.completions.create(prompt="1", **SHORT)
    assert completion.choices[0].text == TEXT


def test_a_streamed_chat_says_who_speaks_then_the_text_then_why_it_ends(
    client: openai.OpenAI,
) -> None:
    chunks = list(
        client.chat.completions.create(
            messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **SHORT
        )
    )
    *told, last, counted = chunks
    assert told[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == TEXT
    assert last.choices[0].finish_reason == "length"
    assert counted.choices == []
    assert counted.usage is not None
    assert counted.usage.completion_tokens == 12
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({(chunk.id, chunk.model, chunk.system_fingerprint) for chunk in chunks}) == 1
    assert (chunks[0].system_fingerprint or "").startswith("llamacpp-")


async def test_a_streamed_chat_without_usage_has_none(async_client: openai.AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(messages=MESSAGES, stream=True, **SHORT)
    chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_the_streaming_helper_of_the_package_collects_the_answer(client: openai.OpenAI) -> None:
    asked: Any = {"model": "demo", "messages": MESSAGES, "temperature": 0}
    with client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == DEMO.expected_text()


def test_a_completion_goes_on_with_a_text_plain_and_streamed(client: openai.OpenAI) -> None:
    plain = client.completions.create(prompt="1", **SHORT)
    assert plain.choices[0].text == TEXT
    assert plain.usage is not None
    assert plain.usage.completion_tokens == 12
    chunks = list(
        client.completions.create(
            prompt="1", stream=True, stream_options={"include_usage": True}, **SHORT
        )
    )
    assert "".join(c.choices[0].text for c in chunks if c.choices) == TEXT
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage == plain.usage


def test_a_text_ends_by_itself_or_before_a_stop(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="demo", prompt="1", temperature=0)
    assert whole.choices[0].text == DEMO.expected_text()
    assert whole.choices[0].finish_reason == "stop"
    for stop in ("the small", ["nowhere", "the small"]):
        cut = client.completions.create(prompt="1", stop=stop, **SHORT)
        assert cut.choices[0].text == TEXT.partition("the small")[0]
        assert cut.choices[0].finish_reason == "stop"


def test_a_seed_repeats_itself(client: openai.OpenAI) -> None:
    def say(seed: int) -> str | None:
        answer = client.chat.completions.create(
            model="demo", messages=MESSAGES, seed=seed, temperature=1, max_tokens=64
        )
        return answer.choices[0].message.content

    texts = [say(seed) for seed in (1, 2, 3, 4, 5, 6)]
    assert [say(seed) for seed in (1, 2, 3)] == texts[:3]
    assert len(set(texts)) > 1
    assert all(DEMO.may_say(text or "") for text in texts)


def test_a_logit_bias_bans_a_token(client: openai.OpenAI) -> None:
    first = client.completions.create(model="demo", prompt="1", max_tokens=1, temperature=0)
    logprobs: Any = (
        client.chat.completions.create(
            model="demo",
            messages=MESSAGES,
            max_tokens=1,
            temperature=0,
            logprobs=True,
            top_logprobs=1,
        )
        .choices[0]
        .logprobs
    )
    token_id = logprobs.content[0].id  # llama.cpp tells it, the upstream API does not
    other = client.completions.create(
        model="demo", prompt="1", max_tokens=1, temperature=0, logit_bias={str(token_id): -100}
    )
    assert other.choices[0].text != first.choices[0].text


@pytest.mark.parametrize("top", [None, 0, 2])
def test_log_probabilities_come_with_as_many_alternatives_as_asked(
    client: openai.OpenAI, top: int | None
) -> None:
    more: Any = {"logprobs": True} | ({} if top is None else {"top_logprobs": top})
    plain = client.chat.completions.create(messages=MESSAGES, **SHORT, **more).choices[0].logprobs
    assert plain is not None
    assert plain.content is not None
    assert "".join(entry.token for entry in plain.content) == TEXT
    assert {len(entry.top_logprobs) for entry in plain.content} == {top or 0}
    chunks = client.chat.completions.create(messages=MESSAGES, stream=True, **SHORT, **more)
    streamed = [
        entry
        for chunk in chunks
        if chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content or ()
    ]
    assert streamed == plain.content


def test_log_probabilities_of_completions_are_columns(client: openai.OpenAI) -> None:
    answer = client.completions.create(prompt="1", logprobs=2, **SHORT).choices[0]
    assert answer.logprobs is not None
    tokens, offsets = answer.logprobs.tokens or [], answer.logprobs.text_offset or []
    assert "".join(tokens) == answer.text
    assert [answer.text[at : at + len(t)] for at, t in zip(offsets, tokens, strict=True)] == tokens
    assert all(len(top) <= 2 for top in answer.logprobs.top_logprobs or [])


def test_an_answer_follows_the_schema_that_was_asked_for(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model="demo",
        messages=MESSAGES,
        temperature=0,
        max_tokens=64,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "verdict", "schema": schema, "strict": True},
        },
    )
    said = json.loads(answer.choices[0].message.content or "")
    assert isinstance(said["ok"], bool)
    assert len(said) == 1


def test_an_answer_is_some_json_object(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="demo",
        messages=MESSAGES,
        temperature=0,
        max_tokens=64,
        response_format={"type": "json_object"},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_embeddings_are_the_same_as_numbers_and_as_base64(client: openai.OpenAI) -> None:
    texts = ["a grey llama", "a grey lama", "zzz"]
    packed = client.embeddings.create(model="demo", input=texts)
    plain = client.embeddings.create(model="demo", input=texts, encoding_format="float")
    one = client.embeddings.create(model="demo", input=texts[0])
    assert [row.index for row in packed.data] == [0, 1, 2]
    for a, b in zip(packed.data, plain.data, strict=True):
        assert a.embedding == pytest.approx(b.embedding, abs=1e-6)
    assert one.data[0].embedding == pytest.approx(packed.data[0].embedding, abs=1e-6)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 3
    near, far = (math.dist(packed.data[0].embedding, packed.data[n].embedding) for n in (1, 2))
    assert near < far


def test_documents_are_ranked_best_first(client: openai.OpenAI) -> None:
    documents = ["one", "another", "a third"]
    body = {"model": "rerank", "query": "which?", "documents": documents, "top_n": 2}
    answer: Any = client.post("/rerank", body=body | {"return_documents": True}, cast_to=object)
    scores = {doc: expected_relevance(doc) for doc in documents}
    best = sorted(documents, key=lambda doc: -scores[doc])[:2]
    assert [result["document"]["text"] for result in answer["results"]] == best
    for result in answer["results"]:
        assert documents[result["index"]] == result["document"]["text"]
    assert answer["usage"]["prompt_tokens"] > 0


def test_models_are_listed_and_found_by_id_and_alias(client: openai.OpenAI) -> None:
    cards = client.models.list().data
    assert len(cards) == 3
    (card,) = [card for card in cards if card.id.startswith("demo-")]
    assert card.object == "model"
    more: Any = card.model_extra
    assert more["llama_orch"]["served_by"] == ["demo"]
    assert more["llama_orch"]["aliases"] == ["demo"]
    for name in (card.id, "demo"):
        assert client.models.retrieve(name).id == card.id
    for name in (card.id, "demo", more["llama_orch"]["reference"]):
        answer = client.completions.create(model=name, prompt="1", max_tokens=1, temperature=0)
        assert answer.model == card.id


def test_an_answer_may_be_sent_back_as_it_came(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(messages=MESSAGES, **SHORT).choices[0].message
    again = client.chat.completions.create(
        messages=[*MESSAGES, first.model_dump(), {"role": "user", "content": "Go on"}],  # type: ignore[list-item]
        **SHORT,
    )
    assert again.choices[0].message.content == TEXT


async def test_what_the_edge_needs_to_know_comes_in_headers(
    async_client: openai.AsyncOpenAI, get: Callable[[str], Awaitable[Any]]
) -> None:
    raw = await async_client.completions.with_raw_response.create(
        prompt="1",
        extra_headers={
            "X-Priority": "batch",
            "X-Session-Id": "s-1",
            "X-Deadline-Ms": "60000",
            "X-Correlation-Id": "from-a-test",
        },
        **SHORT,
    )
    assert raw.headers["x-request-id"] == "from-a-test"
    assert int(raw.headers["x-ratelimit-remaining-requests"]) > 0
    task = await get(f"/v2/tasks/{raw.headers['x-task-id']}")
    assert (task["priority"], task["session_id"]) == ("batch", "s-1")
    assert task["text"] == TEXT
