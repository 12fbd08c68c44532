"""Models over their life: a pool takes another one, a fetch, a pin, a collection."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo_model import DEMO, ENDLESS, SLOW, ensure
from model_provisioner.testing import ModelServer

from .calls import EVENT_STREAM, Answer, Api, Frame, check_grammar, eventually, text_of
from .daemons import Daemon, Place, Pool
from .shell import llorch

GREEDY = {"temperature": 0}


async def reload(api: Api, pool_id: str, model: Path) -> Answer:
    wish = {"new_model_ref": f"file:{model}"}
    return await api.call("POST", f"/v2/pools/{pool_id}/reload", json=wish)


async def served(api: Api, pool_id: str) -> Any:
    return await api.get(f"/v2/pools/{pool_id}/status")


async def test_a_pool_takes_another_model_under_load_and_no_task_fails(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    old, new = (
        Pool.of(models, SLOW, pool_id="main", slots=4, ctx=4096),
        ensure(models, spec=ENDLESS),
    )
    api = connect(place(old).start())

    async def recite(model: Path, tokens: int) -> list[Frame]:
        return await api.run(model_ref=model.stem, prompt="1", max_tokens=tokens, sampling=GREEDY)

    async with asyncio.TaskGroup() as group:
        before = [group.create_task(recite(old.model, 40)) for _ in range(4)]
        await eventually(lambda: _all_busy(api, "main"), "four tasks that run")
        answer = await reload(api, "main", new)
        assert (answer.status, answer.json()["pool_id"]) == (202, "main")
        second = await reload(api, "main", new)
        assert (second.status, second.json()["code"]) == (409, "POOL_BUSY")
    await eventually(lambda: _serves(api, "main", new.stem), "the new model", within_s=30)
    after = await asyncio.gather(*(recite(new, 64) for _ in range(4)))
    for frames in (*(task.result() for task in before), *after):
        check_grammar(frames)
        assert frames[-1].event == "end", frames[-1]
    assert {text_of(task.result()) for task in before} == {SLOW.expected_text(40)}
    assert {text_of(frames) for frames in after} == {ENDLESS.expected_text(64)}
    assert (await served(api, "main"))["last_error"] is None
    await eventually(lambda: _counted_change(api), "a change in the metrics")


async def test_a_reload_to_a_broken_file_rolls_back_while_streams_finish(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api], tmp_path: Path
) -> None:
    pool = Pool.of(models, SLOW, pool_id="main", slots=2, ctx=4096)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(pool.model.read_bytes()[:-4096])
    api = connect(place(pool).start())
    async with api.open(prompt="1", max_tokens=150, sampling=GREEDY) as stream:
        frames = await stream.until("token")
        assert (await reload(api, "main", broken)).status == 202
        status = await eventually(lambda: _complains(api, "main"), "the reason", within_s=30)
        frames += await stream.rest()
    check_grammar(frames)
    assert frames[-1].event == "end"
    assert "broken" in status["last_error"]
    assert status["model_id"] == pool.model.stem
    assert (await api.run(prompt="1", max_tokens=5))[-1].event == "end"


async def test_what_waits_for_a_model_that_is_gone_is_told_so(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    pool, new = Pool.of(models, SLOW, pool_id="main", ctx=4096), ensure(models, spec=ENDLESS)
    api = connect(place(pool).start())
    task = {"model_ref": pool.model.stem, "prompt": "1", "max_tokens": 150, "sampling": GREEDY}
    async with api.open(**task) as running:
        frames = await running.until("token")
        waiting = [(await api.submit(**task))["task_id"] for _ in range(8)]
        assert (await reload(api, "main", new)).status == 202
        frames += await running.rest()
    assert frames[-1].event == "end"
    await eventually(lambda: _serves(api, "main", new.stem), "the new model", within_s=30)
    last = (await api.read(waiting[-1]))[-1]
    assert (last.event, last.data.get("code")) == ("error", "MODEL_NOT_AVAILABLE")


async def test_a_model_is_pulled_pinned_verified_retired_and_collected(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    pool = Pool.of(models, SLOW, pool_id="main")
    daemon = place(pool, gc_recent_days=0, gc_retired_after_days=0).start()
    api = connect(daemon)
    async with ModelServer.running() as server:
        server.files["/endless.gguf"] = ensure(models, spec=ENDLESS).read_bytes()
        events = await _pull(api, reference=f"{server.url}/endless.gguf")
    assert {name for name, _ in events[:-1]} == {"progress"}
    name, model = events[-1]
    assert (name, model["state"], model["pinned"]) == ("model", "Active", False)
    at = f"/v2/catalog/models/{model['model_id']}"
    pinned = await api.call("POST", f"{at}/pin")
    assert (pinned.status, pinned.json()["pinned"]) == (200, True)
    assert (await api.call("POST", f"{at}/verify")).json()["verdict"] == "intact"
    assert (await api.call("DELETE", f"{at}?purge=true")).json()["code"] == "MODEL_IN_USE"
    await api.call("POST", f"{at}/pin", json={"pinned": False})
    assert (await api.call("DELETE", at)).json()["state"] == "Retired"

    decisions = (await api.get("/v2/catalog/gc/plan"))["decisions"]
    told = {each["model_id"]: (each["action"], each["reason"]) for each in decisions}
    assert told == {
        model["model_id"]: ("delete", "retired_long"),
        pool.model.stem: ("keep", "in_use"),
    }
    assert (await api.get(at))["state"] == "Retired", "a plan deletes nothing"
    ran = (await api.call("POST", "/v2/catalog/gc/run")).json()
    assert [step["outcome"] for step in ran["steps"]] == ["deleted"]
    assert ran["freed_bytes"] >= model["size_bytes"]
    assert (await api.call("GET", at)).status == 404
    metrics = (await api.call("GET", "/metrics")).body.decode()
    assert _counted(metrics, "model_gc_freed_bytes_total") == ran["freed_bytes"]
    assert _counted(metrics, "model_fetch_bytes_total") == model["size_bytes"]


async def test_llorch_pulls_across_a_cut_reloads_and_collects(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    pool = Pool.of(models, SLOW, pool_id="main")
    daemon = place(pool, gc_recent_days=0, gc_retired_after_days=0).start()
    api = connect(daemon)

    async def told(*arguments: str) -> str:
        done = await llorch(daemon.url, *arguments)
        assert done.code == 0, done.err
        return done.out

    content = ensure(models, spec=ENDLESS).read_bytes()
    async with ModelServer.running() as server:
        server.files["/endless.gguf"] = content
        server.faults.cuts = [len(content) // 2]
        reference = f"{server.url}/endless.gguf"
        model_id = await told("pull", reference)
        assert server.bodies("/endless.gguf")[-1] == f"bytes={len(content) // 2}-"
        assert await told("reload", "main", reference) == f"main serves {model_id}"
    frames = await api.run(prompt="1", max_tokens=16, sampling=GREEDY)
    assert text_of(frames) == ENDLESS.expected_text(16)
    plan = await told("gc")
    assert "pool main serves it" in plan
    assert await told("gc", "--run") == "there was nothing to delete"


async def test_a_model_that_a_pool_serves_is_neither_retired_nor_deleted(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    pool = Pool.of(models, SLOW, pool_id="main")
    api = connect(place(pool).start())
    for query in ("", "?purge=true"):
        answer = await api.call("DELETE", f"/v2/catalog/models/{pool.model.stem}{query}")
        assert (answer.status, answer.json()["code"]) == (409, "MODEL_IN_USE")
        assert "main" in answer.json()["message"]


async def test_a_purged_pool_gives_its_disk_back_and_serves_again_when_it_is_told_to(
    place: Callable[..., Place], models: Path, connect: Callable[[Daemon], Api]
) -> None:
    pool = Pool.of(models, DEMO, pool_id="main", ctx=8192)
    here = place(pool)
    api = connect(here.start())
    async with ModelServer.running() as server:
        server.files["/endless.gguf"] = ensure(models, spec=ENDLESS).read_bytes()
        reference = f"{server.url}/endless.gguf"
        model = (await _pull(api, reference=reference))[-1][1]
        wish = {"new_model_ref": reference}
        await api.call("POST", "/v2/pools/main/reload", json=wish)
        await eventually(lambda: _serves(api, "main", model["model_id"]), "it", within_s=30)
        await eventually(lambda: _settled(api, "main"), "the end of the change", within_s=30)
        purge = {"purge_engine": True, "purge_models": True, "drain_first": True}
        task = {"model_ref": model["model_id"], "prompt": "1", "max_tokens": 1500}
        async with api.open(**task, sampling=GREEDY) as stream:
            frames = await stream.until("token")
            refused = await api.call("POST", "/v2/pools/main/purge", json={"purge_models": True})
            assert (refused.status, refused.json()["code"]) == (409, "POOL_BUSY")
            answer = await api.call("POST", "/v2/pools/main/purge", json=purge)
            assert (answer.status, answer.json()["pool_id"]) == (202, "main")
            frames += await stream.rest()
        assert frames[-1].event == "end"

        async def gone() -> bool:
            listed = (await api.get("/v2/catalog/models"))["models"]
            return model["model_id"] not in {each["model_id"] for each in listed}

        await eventually(gone, "the model is gone", within_s=30)
        resting = await served(api, "main")
        assert (resting["state"], resting["last_error"]) == ("stopped", None)
        await eventually(lambda: _no_file(here.folder, "endless*.gguf"), "its file is gone")
        await api.call("POST", "/v2/pools/main/reload", json=wish)
        await eventually(lambda: _serves(api, "main", model["model_id"]), "it", within_s=30)
    task = {"model_ref": model["model_id"], "prompt": "1", "max_tokens": 9}
    assert text_of(await api.run(**task, sampling=GREEDY)) == ENDLESS.expected_text(9)


async def _pull(api: Api, **wish: str) -> list[tuple[str, dict[str, Any]]]:
    answer = await api.call("POST", "/v2/catalog/models", json=wish, headers=EVENT_STREAM)
    assert answer.status == 200, answer
    blocks = [block.splitlines() for block in answer.body.decode().split("\n\n") if block]
    return [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: ")))
        for lines in blocks
        if not lines[0].startswith(":")
    ]


def _counted(metrics: str, name: str) -> float:
    (line,) = [line for line in metrics.splitlines() if line.startswith(f"{name}{{")]
    return float(line.rpartition(" ")[2])


async def _all_busy(api: Api, pool_id: str) -> bool:
    return bool((await served(api, pool_id))["slots_free"] == 0)


async def _serves(api: Api, pool_id: str, model_id: str) -> bool:
    status = await served(api, pool_id)
    return bool(status["ready"] and status["model_id"] == model_id)


async def _complains(api: Api, pool_id: str) -> Any:
    status = await served(api, pool_id)
    return status if status["last_error"] else None


async def _counted_change(api: Api) -> bool:
    metrics = (await api.call("GET", "/metrics")).body.decode()
    counted = re.search(r'pool_reload_duration_ms_count{.*outcome="changed".*} 1.0', metrics)
    return counted is not None


async def _settled(api: Api, pool_id: str) -> bool:
    return (await served(api, pool_id))["change"] is None


async def _no_file(folder: Path, pattern: str) -> bool:
    return not list(folder.rglob(pattern))
