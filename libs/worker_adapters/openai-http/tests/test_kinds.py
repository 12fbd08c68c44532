"""Each engine kind is known by its model list, and refuses by name what it cannot do."""

import json

import pytest

from adapter_api import EngineFailed, EngineRefused, EngineRequest
from openai_http import LLAMACPP, OLLAMA, OPENAI, SGLANG, TGI, OpenAiAdapter, dialect_of
from worker_http.openai_dialect import Dialect, ModelCard
from worker_http.openai_dialect.testing import ScriptedOpenAi


@pytest.mark.parametrize(
    ("owner", "dialect"),
    [
        ("llamacpp", LLAMACPP),
        ("sglang", SGLANG),
        ("library", OLLAMA),
        ("tiny", TGI),
        ("somebody", OPENAI),
    ],
)
def test_the_model_list_tells_the_engine(owner: str, dialect: Dialect) -> None:
    assert dialect_of(ModelCard(id="tiny", owned_by=owner)) is dialect


@pytest.mark.parametrize(
    ("owner", "name", "parameter"),
    [
        ("somebody", "OpenAI-compatible", "top_k"),
        ("library", "Ollama", "logit_bias"),
        ("tiny", "TGI", "logit_bias"),
        ("tiny", "TGI", "presence_penalty"),
        ("sglang", "SGLang", "mirostat"),
    ],
)
async def test_what_an_engine_cannot_do_is_refused_by_name(
    owner: str, name: str, parameter: str
) -> None:
    async with ScriptedOpenAi(OpenAiAdapter, owned_by=owner).running() as engine:
        request = EngineRequest(task_id="t", prompt="x", max_tokens=1, sampling={parameter: 1})
        with pytest.raises(EngineRefused, match=f"{name}.*{parameter}"):
            await engine.adapter.run(request, lambda _: None)
        assert [request.path for request in engine.requests] == ["/v1/models"]


async def test_a_lost_chat_is_refused_where_an_engine_would_begin_anew() -> None:
    async with ScriptedOpenAi(OpenAiAdapter).running() as engine:
        user = {"role": "user", "content": "Hi?"}
        request = EngineRequest(task_id="t", messages=[user], text_so_far="Hel")
        with pytest.raises(EngineRefused, match="cannot go on"):
            await engine.adapter.run(request, lambda _: None)


async def test_sglang_is_told_how_much_room_a_prompt_leaves() -> None:
    answers = {"/tokenize": lambda _: (200, b'{"tokens":[1,2,3],"count":3}')}
    async with ScriptedOpenAi(OpenAiAdapter, owned_by="sglang", answers=answers).running() as sg:
        await sg.adapter.run(EngineRequest(task_id="t", prompt="x"), lambda _: None)
        assert json.loads(sg.requests[-1].body)["max_tokens"] == 1021
    async with ScriptedOpenAi(OpenAiAdapter, owned_by="sglang").running() as sg:
        with pytest.raises(EngineRefused, match="needs max_tokens"):
            await sg.adapter.run(EngineRequest(task_id="t", prompt="x"), lambda _: None)


async def test_no_seed_is_drawn_for_sglang_which_would_not_heed_it() -> None:
    answers = {"/tokenize": lambda _: (200, b'{"tokens":[1]}')}
    async with ScriptedOpenAi(OpenAiAdapter, owned_by="sglang", answers=answers).running() as sg:
        finish = await sg.adapter.run(EngineRequest(task_id="t", prompt="x"), lambda _: None)
        assert finish.seed is None
        assert "seed" not in json.loads(sg.requests[-1].body)
        request = EngineRequest(task_id="t", prompt="x", seed=7)
        assert (await sg.adapter.run(request, lambda _: None)).seed == 7
        assert json.loads(sg.requests[-1].body)["seed"] == 7


async def test_a_workload_without_a_path_is_refused_and_no_fault_of_the_engine() -> None:
    async with ScriptedOpenAi(OpenAiAdapter).running() as engine:
        request = EngineRequest(task_id="t", workload="embedding", inputs=["x"])
        with pytest.raises(EngineRefused, match="offers no embedding"):
            await engine.adapter.run(request, lambda _: None)


async def test_of_several_models_the_pools_own_is_asked() -> None:
    cards = {"data": [{"id": "one"}, {"id": "two:latest"}]}
    answers = {"/v1/models": lambda _: (200, json.dumps(cards).encode())}
    for wanted, served in (("two", "two:latest"), (None, "one")):
        make = lambda url, wanted=wanted: OpenAiAdapter(url, model=wanted)  # noqa: E731
        async with ScriptedOpenAi(make, answers=answers).running() as engine:
            await engine.adapter.run(EngineRequest(task_id="t", prompt="x"), lambda _: None)
            assert json.loads(engine.requests[-1].body)["model"] == served
    make = lambda url: OpenAiAdapter(url, model="three")  # noqa: E731
    async with ScriptedOpenAi(make, answers=answers).running() as engine:
        with pytest.raises(EngineFailed, match="2 models"):
            await engine.adapter.run(EngineRequest(task_id="t", prompt="x"), lambda _: None)


async def test_an_engine_without_a_health_page_is_judged_by_its_models() -> None:
    async with ScriptedOpenAi(OpenAiAdapter).running() as engine:
        assert (await engine.adapter.health()).ready
        assert [request.path for request in engine.requests] == ["/health", "/v1/models"]
