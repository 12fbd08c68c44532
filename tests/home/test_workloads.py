"""Embeddings and rankings go through the same door as text."""

import asyncio
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import pytest

from demo_model import DEMO, RERANK, expected_relevance

from .calls import EVENT_STREAM, Api, check_grammar, text_of
from .daemons import Daemon, Place, Pool


@pytest.fixture(scope="module")
def daemon(shared_place: Callable[..., Place], models: Path) -> Daemon:
    return shared_place(
        Pool.of(models, DEMO, slots=2, ctx=512, embeddings=True),
        Pool.of(models, RERANK, slots=2, ctx=512, rerank=True),
    ).start()


@pytest.fixture
def api(daemon: Daemon, connect: Callable[[Daemon], Api]) -> Api:
    return connect(daemon)


def nearness(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / sqrt(sum(a * a for a in one) * sum(b * b for b in other))


async def test_embeddings_come_in_the_order_of_the_inputs(api: Api) -> None:
    inputs = ["aaa", "xyz", "aaa"]
    frames = await api.run(model_ref="demo", workload="embedding", inputs=inputs)
    check_grammar(frames)
    assert [frame.event for frame in frames if frame.event != "metrics"] == [
        "started",
        "result",
        "end",
    ]
    (rows,) = [frame.data["embeddings"] for frame in frames if frame.event == "result"]
    assert len(rows) == 3
    assert nearness(rows[0], rows[2]) > 0.999
    assert nearness(rows[0], rows[1]) < 0.9
    assert frames[-1].data["tokens_in"] >= 9
    assert frames[-1].data["tokens_out"] == 0
    status = await api.get(f"/v2/tasks/{frames[0].data['task_id']}")
    assert status["result"] == {"embeddings": rows}


async def test_a_pool_with_embeddings_still_generates(api: Api) -> None:
    texts, rows = await asyncio.gather(
        api.run(model_ref="demo", prompt="1", sampling={"temperature": 0}),
        api.run(model_ref="demo", workload="embedding", inputs=["a"]),
    )
    assert text_of(texts) == DEMO.expected_text()
    assert rows[-1].event == "end"


async def test_a_ranking_comes_best_first_with_the_models_own_scores(api: Api) -> None:
    documents = ["low 1", "high 9", "middle 5"]
    frames = await api.run(model_ref="rerank", workload="rerank", query="which?", inputs=documents)
    check_grammar(frames)
    (ranking,) = [frame.data["ranking"] for frame in frames if frame.event == "result"]
    assert [entry["index"] for entry in ranking] == [1, 2, 0]
    for entry in ranking:
        expected = expected_relevance(documents[entry["index"]])
        assert entry["relevance_score"] == pytest.approx(expected, abs=0.02)


async def test_an_input_longer_than_the_context_is_refused_and_not_cut(api: Api) -> None:
    for task in (
        {"model_ref": "demo", "workload": "embedding", "inputs": ["1" * 600]},
        {"model_ref": "rerank", "workload": "rerank", "query": "q", "inputs": ["1" * 600]},
    ):
        frames = await api.run(**task)
        check_grammar(frames)
        assert (frames[-1].event, frames[-1].data["code"]) == ("error", "INVALID_PARAMS")


async def test_what_a_pool_was_not_started_for_is_refused_at_the_door(api: Api) -> None:
    answer = await api.call(
        "POST",
        "/v2/tasks",
        json={"model_ref": "demo", "workload": "rerank", "query": "q", "inputs": ["1"]},
        headers=EVENT_STREAM,
    )
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_PARAMS")
    assert "rerank" in answer.json()["message"]


async def test_capabilities_name_the_workloads(api: Api) -> None:
    told = str(await api.get("/v2/meta/capabilities"))
    assert "embedding" in told
    assert "rerank" in told
