"""A real llama.cpp in a child process, asked over HTTP."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from demo_model import DEMO, ENDLESS, RERANK, SLOW, Recital, ensure, expected_relevance

HOST = """
import os, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames = sys.argv[1], 0, ["127.0.0.1"]
params.n_ctx, params.n_parallel, params.warmup = 8192, 1, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
if len(sys.argv) > 2:
    params.embedding = True
    params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{sys.argv[2]}")
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
"""

Ask = Callable[..., dict[str, Any]]
Models = Callable[[Recital], Path]


@contextmanager
def engine(model: Path, *options: str) -> Iterator[Ask]:
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(model), *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "llama.cpp did not start"

        def ask(path: str, **body: Any) -> dict[str, Any]:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)  # type: ignore[no-any-return]

        yield ask
        process.stdin.close()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    directory = tmp_path_factory.mktemp("models")
    return lambda spec: ensure(directory, spec=spec)


@pytest.fixture(scope="module")
def demo(models: Models) -> Iterator[Ask]:
    with engine(models(DEMO)) as ask:
        yield ask


def test_a_chat_is_answered_with_the_whole_text_and_stops_by_itself(demo: Ask) -> None:
    messages = [{"role": "user", "content": "What about a slot"}]
    answer = demo("/v1/chat/completions", messages=messages, temperature=0)
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == DEMO.expected_text()
    assert choice["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == len(DEMO.pieces) + 1


@pytest.mark.parametrize("limit", [1, 2, 17, len(DEMO.pieces)])
def test_a_limit_cuts_the_text_where_expected(demo: Ask, limit: int) -> None:
    answer = demo("/completion", prompt="Hi", n_predict=limit, temperature=0)
    assert answer["content"] == DEMO.expected_text(limit)
    assert (answer["stop_type"], answer["tokens_predicted"]) == ("limit", limit)


@pytest.mark.parametrize(
    "prompt", ["", " ", "Grüße", "a slotted box\n\n", "where is it? 🙂", "the"]
)
def test_any_prompt_that_ends_outside_the_text_gets_it_from_the_start(
    demo: Ask, prompt: str
) -> None:
    answer = demo("/completion", prompt=prompt, n_predict=20, temperature=0)
    assert answer["content"] == DEMO.expected_text(20)


def test_a_text_broken_off_anywhere_is_taken_up_where_it_stopped(demo: Ask) -> None:
    whole = DEMO.expected_text()
    for said in range(1, len(DEMO.pieces)):
        begun = DEMO.expected_text(said)
        rest = demo("/completion", prompt=f"Hi{begun}", n_predict=100, temperature=0)["content"]
        assert begun + rest == whole


def test_seeds_matter_and_repeat(demo: Ask) -> None:
    def say(seed: int) -> str:
        answer = demo("/completion", prompt="Hi", n_predict=64, temperature=1, seed=seed)
        text = answer["content"]
        assert isinstance(text, str)
        return text

    texts = [say(seed) for seed in range(32)]
    assert texts == [say(seed) for seed in range(32)]
    assert len(set(texts)) >= 31
    assert all(DEMO.may_say(text.removesuffix("\ufffd")) for text in texts)


def test_the_endless_text_fills_two_thousand_tokens(models: Models) -> None:
    with engine(models(ENDLESS)) as ask:
        answer = ask("/completion", prompt="Hi", n_predict=2000, temperature=0)
    assert answer["content"] == ENDLESS.expected_text(2000)
    assert (answer["stop_type"], answer["tokens_predicted"]) == ("limit", 2000)


def test_the_slow_model_says_the_same_words_but_takes_its_time(models: Models) -> None:
    with engine(models(SLOW)) as ask:
        answer = ask("/completion", prompt="x" * 500, n_predict=10, temperature=0)
    assert answer["content"] == SLOW.expected_text(10)
    assert answer["timings"]["predicted_per_token_ms"] > 5
    assert answer["timings"]["prompt_ms"] > 100


def test_texts_that_share_letters_have_embeddings_that_are_near(models: Models) -> None:
    def product(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    with engine(models(DEMO), "MEAN") as ask:
        data = ask("/v1/embeddings", input=["a cat", "cats", "the weather in Rome"])["data"]
    cat, cats, rome = (entry["embedding"] for entry in data)
    assert product(cat, cats) > product(cat, rome)


def test_documents_are_ranked_by_what_they_end_with(models: Models) -> None:
    documents = ["grade 1", "grade 3", "grade 2", "grade z"]
    with engine(models(RERANK), "RANK") as ask:
        results = ask("/v1/rerank", query="the best", documents=documents)["results"]
        text = ask("/completion", prompt="Hi", n_predict=200, temperature=0)["content"]
    assert [result["index"] for result in results] == [3, 1, 2, 0]
    assert [result["relevance_score"] for result in results] == pytest.approx(
        [expected_relevance(documents[result["index"]]) for result in results], abs=0.001
    )
    assert text == RERANK.expected_text()
