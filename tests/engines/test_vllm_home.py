"""A HOME daemon in front of a real vLLM, end to end."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

from vllm_http import EngineLoad, VllmAdapter

from .asking import LONG_TOKENS, MESSAGES, MODEL, WAYS, asked_plainly, said_by
from .borrowed import Api, Daemon, check_grammar, eventually, text_of
from .installed import EngineProcess
from .served import client_of, home_serving
from .vllm_server import CTX, SEQUENCES

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1200)]

SEEDED = {"seed": 7, "temperature": 1.0}
SHORT: dict[str, Any] = {"model": MODEL, "max_tokens": 24, **SEEDED}


@pytest.fixture(scope="module")
def daemon(vllm: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("home") / "place"
    with home_serving(vllm, folder, kind="vllm", slots=SEQUENCES, ctx=CTX) as daemon:
        yield daemon


@pytest.fixture
async def api(daemon: Daemon) -> AsyncIterator[Api]:
    async with client_of(daemon) as api:
        yield api


@pytest.fixture
def client(daemon: Daemon) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_a_task_tells_what_the_engine_says(
    vllm: EngineProcess, api: Api, way: dict[str, Any]
) -> None:
    own = await asked_plainly(vllm, way, max_tokens=24, **SEEDED)
    sampling = {"temperature": SEEDED["temperature"]}
    frames = await api.run(
        model_ref=MODEL, max_tokens=24, seed=SEEDED["seed"], sampling=sampling, **way
    )
    check_grammar(frames)
    end = frames[-1]
    assert end.event == "end"
    assert text_of(frames) == said_by(own)
    assert (end.data["tokens_in"], end.data["tokens_out"]) == (own["usage"]["prompt_tokens"], 24)


async def test_a_cancel_and_a_leaving_client_free_the_engine(vllm: EngineProcess, api: Api) -> None:
    adapter = VllmAdapter(vllm.url, api_key=vllm.key)

    async def counts(running: int) -> None:
        async def look() -> bool:
            return await adapter.load() == EngineLoad(running, 0)

        await eventually(look, f"{running} running requests", within_s=30)

    task = {"model_ref": MODEL, "prompt": "Hello", "max_tokens": LONG_TOKENS}
    async with api.open(**task) as stream:
        await stream.until("token")
        await counts(1)
        await api.cancel(stream.task_id)
        assert (await stream.rest())[-1].data["code"] == "CANCELED"
        await counts(0)
    async with api.open(**task, on_disconnect="cancel") as stream:
        await stream.until("token")
        await counts(1)
    await counts(0)
    await adapter.close()


async def test_more_tasks_than_slots_all_end(api: Api) -> None:
    async with asyncio.TaskGroup() as group:
        runs = [
            group.create_task(api.run(model_ref=MODEL, prompt=f"Hello {n}", max_tokens=16))
            for n in range(3 * SEQUENCES)
        ]
    ends = [run.result()[-1] for run in runs]
    assert [end.event for end in ends] == ["end"] * len(runs)
    assert {end.data["tokens_out"] for end in ends} == {16}
    (pool,) = (await api.get("/v2/pools"))["pools"]
    assert (pool["engine"], pool["slots_total"], pool["slots_free"]) == (
        "vllm",
        SEQUENCES,
        SEQUENCES,
    )


async def test_the_openai_package_chats_and_completes(
    vllm: EngineProcess, client: openai.OpenAI
) -> None:
    messages: Any = list(MESSAGES)
    own = await asked_plainly(vllm, WAYS["chat"], max_tokens=24, **SEEDED)
    answer = client.chat.completions.create(messages=messages, **SHORT)
    assert answer.choices[0].message.content == said_by(own)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (
        answer.usage.model_dump(exclude_none=True).items()
        >= {
            "prompt_tokens": own["usage"]["prompt_tokens"],
            "completion_tokens": 24,
            "total_tokens": own["usage"]["total_tokens"],
        }.items()
    )
    chunks = list(
        client.chat.completions.create(
            messages=messages, stream=True, stream_options={"include_usage": True}, **SHORT
        )
    )
    told = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert told == said_by(own)
    assert chunks[-1].usage == answer.usage
    own = await asked_plainly(vllm, WAYS["completion"], max_tokens=24, **SEEDED)
    completion = client.completions.create(prompt="Hello", **SHORT)
    assert completion.choices[0].text == said_by(own)


def test_the_openai_package_gets_log_probabilities_stops_and_schemas(
    client: openai.OpenAI,
) -> None:
    messages: Any = list(MESSAGES)
    answer = client.chat.completions.create(
        messages=messages, logprobs=True, top_logprobs=2, **SHORT
    ).choices[0]
    assert answer.logprobs is not None
    assert "".join(e.token for e in answer.logprobs.content or ()) == answer.message.content
    whole = answer.message.content or ""
    stop = whole[12:18]
    cut = client.chat.completions.create(messages=messages, stop=[stop], **SHORT).choices[0]
    assert (cut.message.content, cut.finish_reason) == (whole.partition(stop)[0], "stop")
    # A schema that leaves blanks free lets this model say nothing else.
    named: Any = {"name": "verdict", "schema": {"enum": ["yes", "no"]}, "strict": True}
    kept = client.chat.completions.create(
        messages=messages,
        response_format={"type": "json_schema", "json_schema": named},
        **{**SHORT, "max_tokens": 64},
    )
    assert json.loads(kept.choices[0].message.content or "") in {"yes", "no"}


def test_the_openai_package_is_told_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.completions.create(prompt=" 7" * CTX, **SHORT)
    with pytest.raises(openai.APIStatusError):
        client.embeddings.create(model=MODEL, input="x")
