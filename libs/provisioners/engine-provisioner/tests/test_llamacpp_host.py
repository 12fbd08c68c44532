"""The host alone, as a supervisor sees it: its flags, its status file, its end."""

import asyncio
import json
import signal
from contextlib import asynccontextmanager

import aiohttp
import pytest

import demo_model
from engine_provisioner import EngineProcess, plan_engine
from engine_provisioner.handoff import read_status
from engine_provisioner.llamacpp_host import EXIT_MODEL
from pool_registry_types import HandoffModel

KEY = "test-key"


@pytest.fixture
def hosted(tmp_path, survey):
    @asynccontextmanager
    async def host(wish, *extra):
        status = tmp_path / "status"
        plan = plan_engine(wish, survey)
        process = EngineProcess.spawn(
            (*plan.command(status), *extra),
            log_path=tmp_path / "log",
            environment=plan.environment,
            stdin=f"{KEY}\n".encode(),
        )
        try:
            async with asyncio.timeout(20):
                while (told := read_status(status)).get("phase") not in {"listening", "failed"}:
                    await asyncio.sleep(0.01)
            yield process, told
        finally:
            if process.identity.alive:
                process.kill()
                await process.exited()

    return host


@pytest.fixture
async def http():
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session


async def test_each_slot_has_the_whole_context_that_was_asked_for(hosted, wish, http):
    async with hosted(wish(slots=3, ctx_tokens=768), "--tensor-split", "3,1") as (_, told):
        async with http.get(f"{told['url']}/slots") as answer:
            slots = await answer.json()
        assert [slot["n_ctx"] for slot in slots] == [768] * 3
        async with http.get(f"{told['url']}/v1/models") as answer:
            assert (await answer.json())["data"][0]["id"] == "recital"
        for path in ("/props", "/metrics"):
            async with http.get(told["url"] + path) as answer:
                assert answer.status == 200


async def test_it_listens_on_loopback_and_wants_its_key(hosted, wish):
    async with hosted(wish()) as (_, told), aiohttp.ClientSession() as stranger:
        assert told["url"].startswith("http://127.0.0.1:")
        async with stranger.post(f"{told['url']}/completion", json={"prompt": "a"}) as answer:
            assert answer.status == 401


async def test_embeddings_are_served_on_request_for_as_much_text_as_the_context_holds(
    hosted, wish, http
):
    async with hosted(wish(embeddings=True, ctx_tokens=1024)) as (_, told):
        body = {"input": "Hello! " * 400, "model": "recital"}
        async with http.post(f"{told['url']}/v1/embeddings", json=body) as answer:
            assert answer.status == 200
            assert (await answer.json())["data"][0]["embedding"]


async def test_rerank_is_served_on_request(hosted, wish, http, tmp_path):
    path = demo_model.ensure(tmp_path, spec=demo_model.RERANK)
    model = HandoffModel(id="rerank", path=str(path), size_bytes=path.stat().st_size)
    async with hosted(wish(model=model, rerank=True)) as (_, told):
        body = {"query": "a", "documents": ["b", "Hello!"]}
        async with http.post(f"{told['url']}/v1/rerank", json=body) as answer:
            assert answer.status == 200
            assert len((await answer.json())["results"]) == 2


async def test_it_ends_within_seconds_when_told_though_a_stream_flows(hosted, wish, http):
    async with hosted(wish(ctx_tokens=4096)) as (process, told):
        body = {"prompt": "a", "n_predict": 100_000, "stream": True, "ignore_eos": True}
        async with http.post(f"{told['url']}/completion", json=body) as answer:
            await answer.content.readline()
            process.terminate()
            async with asyncio.timeout(4):
                code = await process.exited()
        assert code in {0, -signal.SIGALRM}


async def test_layers_on_a_gpu_that_is_not_there_are_refused(hosted, wish):
    async with hosted(wish(), "--gpu-layers", "99") as (process, told):
        assert await process.exited() == EXIT_MODEL
        assert "sees none" in told["reason"]


async def test_the_status_file_is_never_half_written(hosted, wish, tmp_path):
    async with hosted(wish()):
        assert json.loads((tmp_path / "status").read_text())["phase"] == "listening"
        assert [path.name for path in tmp_path.iterdir() if "status" in path.name] == ["status"]
